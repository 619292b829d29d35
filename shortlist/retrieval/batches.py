"""Training batches, gathered without a Python loop over rows: a sample is a pointer into the histories.

The samples of a step depend only on (seed, epoch, step), so a resumed run continues exactly.

`positions: last`    a sample is one train positive with the history before it: window `e` is that of example `e`.
`positions: every`   a sample is a window of one user's history, of at most L events; windows start every L // 2 events.
                     Its examples are the train positives whose history ends in it: all for the first window, those in
                     the second half for a later one, so that each example has at least half a window of history and
                     is in only one window. A window contains no event that its last example may not see, and an example
                     sees the window's first `prefix_E` events.
`positions: leave_one_out`
                     a sample is a basket, the set of a user's items without order: each item is left out once and
                     predicted from all others.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Prepared, Samples
from shortlist.dataset.split import TRAIN
from shortlist.features import PackedQueries, Queries
from shortlist.ragged import places, ranges
from shortlist.recipe import Recipe
from shortlist.retrieval.baskets import Baskets, pairs_within

T = TypeVar("T")


@dataclass(frozen=True)
class Together:
    """The examples of all processes in one step."""

    item_E: NDArray[np.int64]
    """The items of all examples."""
    weight: float
    """The total weight of all examples."""


@dataclass(frozen=True)
class Batch:
    """E examples: the queries, the target items and the weights."""

    queries: Queries | PackedQueries
    """Packed unless `positions: last`."""
    item_E: NDArray[np.int64]
    weight_E: NDArray[np.float32]
    known_2X: NDArray[np.int64] | None = None
    """(example, item) of all known positives, if there are more than the example's own item."""
    together: Together | None = None
    """With several processes, the examples of all of them; otherwise None."""


@dataclass(frozen=True)
class Windows:
    """W windows over runs of train positives: window `w` has the examples `first[w]:first[w + 1]`."""

    start: NDArray[np.int64]
    """Start of the window in the history, [W]."""
    end: NDArray[np.int64]
    """End of the window, which is the end of the history of its last example, [W]."""
    first: NDArray[np.int64]
    """Bounds of the runs, [W + 1]."""

    @classmethod
    def of(cls, samples: Samples, examples: NDArray[np.int64], width: int) -> "Windows":
        """Cut the histories of `examples`, positions in `samples`, which are ordered by user and time.

        A run has at most `width + 1` examples, so many positives with the same history are split into several windows.
        """
        user, start, end = samples.user[examples], samples.start[examples], samples.end[examples]
        stride = max(width // 2, 1)
        late = np.maximum(end - start - width, 0)
        number = (late + stride - 1) // stride
        opens = np.ones(len(examples), bool)
        opens[1:] = (user[1:] != user[:-1]) | (number[1:] != number[:-1])
        begins = np.flatnonzero(opens)
        length = np.diff(np.append(begins, len(examples)))
        first = np.flatnonzero(places(length) % (width + 1) == 0)
        bounds = np.append(first, len(examples))
        return cls(start[first] + number[first] * stride, end[bounds[1:] - 1], bounds)

    def examples_of(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The examples of the windows `chosen`: the position of the window in `chosen`, and the example, each [E]."""
        first_B = self.first[chosen]
        length_B = self.first[chosen + 1] - first_B
        return np.repeat(np.arange(len(chosen)), length_B), ranges(first_B, length_B)

    def __len__(self) -> int:
        return len(self.start)


class RetrievalBatches:
    """The batches of one process; with several processes, each takes a different part of every step."""

    def __init__(
        self,
        prepared: Prepared,
        recipe: Recipe,
        *,
        parts: Sequence[int] = (TRAIN,),
        process: int = 0,
        processes: int = 1,
    ) -> None:
        """The batches of the positives in these parts of the split."""
        assert 0 <= process < processes
        self.prepared = prepared
        self.seed, self.batch_size = recipe.seed, recipe.retrieval.training.batch_size
        self.process, self.processes = process, processes
        samples = prepared.samples
        self.examples = samples.positives(parts)
        half_life = recipe.retrieval.half_life
        self._decay = None if half_life is None else (np.max(samples.time[self.examples], initial=0), half_life)
        width = prepared.store.schema.history_length
        positions = recipe.retrieval.positions
        self.windows = Windows.of(samples, self.examples, width) if positions == "every" else None
        self.baskets = Baskets.of(samples, self.examples, width) if positions == "leave_one_out" else None
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    @property
    def num_samples(self) -> int:
        """Number of train positives, windows or baskets."""
        return len(self.windows or self.baskets or self.examples)

    def num_batches(self, epoch: int) -> int:  # noqa: ARG002 - a sampler of hard negatives may depend on the epoch
        """Steps per epoch, the same for every process."""
        return -(-self.num_samples // (self.batch_size * self.processes))

    def batch(self, epoch: int, step: int) -> Batch:
        """The batch of one step. Each sample occurs once per epoch; batch sizes differ by at most one sample."""
        count, total = self.num_samples, self.num_batches(epoch) * self.processes
        assert 0 <= step < self.num_batches(epoch), (step, epoch)
        at = step * self.processes + self.process
        order = self._permutation(epoch)
        batch = self._batch(order[count * at // total : count * (at + 1) // total])
        if self.processes == 1:
            return batch
        first, last = step * self.processes, (step + 1) * self.processes
        item_E, weight_E = self._targets(order[count * first // total : count * last // total])
        return replace(batch, together=Together(item_E, float(weight_E.sum(dtype=np.float64))))

    def _batch(self, chosen: NDArray[np.int64]) -> Batch:
        if self.baskets is not None:
            return self.leave_one_out(self.baskets, chosen)
        return self.positives(chosen) if self.windows is None else self.every(chosen)

    def _targets(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The target items and weights [E] of the examples of these samples, without their queries."""
        samples = self.prepared.samples
        if self.baskets is not None:
            at = self.baskets.take(chosen)[0]
        else:
            at = self.examples[chosen if self.windows is None else self.windows.examples_of(chosen)[1]]
        return samples.item[at].astype(np.int64), self._weights(at)

    def positives(self, chosen: NDArray[np.int64]) -> Batch:
        """Examples `chosen`, each with its own window."""
        samples, at = self.prepared.samples, self.examples[chosen]
        store = self.prepared.store
        queries = store.queries(
            samples.user[at], store.history_items, samples.start[at], samples.end[at], samples.context.take(at)
        )
        return Batch(queries, samples.item[at].astype(np.int64), self._weights(at))

    def every(self, chosen: NDArray[np.int64]) -> Batch:
        """The windows `chosen` with all of their examples."""
        windows, samples, store = self.windows, self.prepared.samples, self.prepared.store
        assert windows is not None
        start_B = windows.start[chosen]
        window_E, example_E = windows.examples_of(chosen)
        at = self.examples[example_E]
        prefix_E = samples.end[at] - start_B[window_E]
        queries = store.packed(
            start_B, windows.end[chosen], window_E, prefix_E, samples.user[at], samples.context.take(at)
        )
        return Batch(queries, samples.item[at].astype(np.int64), self._weights(at))

    def leave_one_out(self, baskets: Baskets, chosen: NDArray[np.int64]) -> Batch:
        """The baskets `chosen`, with all of their items as examples."""
        samples, store = self.prepared.samples, self.prepared.store
        at, length_B = baskets.take(chosen)
        item_E = samples.item[at].astype(np.int64)
        alone_E = np.repeat(length_B == 1, length_B)
        queries = store.packed_queries(
            item_E, length_B, np.where(alone_E, -1, np.arange(len(at))), samples.user[at], samples.context.take(at)
        )
        return Batch(queries, item_E, self._weights(at), pairs_within(item_E, length_B))

    def _weights(self, at_E: NDArray[np.int64]) -> NDArray[np.float32]:
        """The weights of samples [E], halved for every half-life before the latest training sample."""
        samples = self.prepared.samples
        weight_E: NDArray[np.float32] = samples.weight[at_E]
        if self._decay is not None:
            now, half_life = self._decay
            weight_E = weight_E * np.exp2((samples.time[at_E] - now) / half_life, dtype=np.float32)
        return weight_E

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(self.num_samples))
        return self._order[1]


class Ahead(Generic[T]):
    """Prefetches the results of `make(epoch, step)` in a thread while the model works on the previous step."""

    def __init__(self, make: Callable[[int, int], T], num_batches: Callable[[int], int], *, depth: int = 2) -> None:
        self._make, self._num_batches, self._depth = make, num_batches, depth
        self._pool = ThreadPoolExecutor(1, "batches")
        self._pending: dict[tuple[int, int], Future[T]] = {}

    def at(self, epoch: int, step: int) -> T:
        """The result for one step; the next `depth` steps are started. Raises the errors of `make`."""
        if (epoch, step) not in self._pending:
            for made in self._pending.values():
                made.cancel()
            self._pending.clear()
        for later in range(step, min(step + self._depth + 1, self._num_batches(epoch))):
            if (epoch, later) not in self._pending:
                self._pending[epoch, later] = self._pool.submit(self._make, epoch, later)
        return self._pending.pop((epoch, step)).result()
