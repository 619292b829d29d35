"""Checks that the training of the towers uses nothing from the prepared folder that leaks the future.

The folder itself is checked when it is prepared (`dataset/leakage/`).
"""

from dataclasses import asdict, dataclass

import numpy as np

from shortlist.dataset.leakage import LeakageError
from shortlist.dataset.leakage.check import first_where, in_blocks
from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN
from shortlist.recipe import Recipe
from shortlist.retrieval.batches import RetrievalBatches
from shortlist.retrieval.negatives import drawable
from shortlist.retrieval.refit import REFIT_PARTS


@dataclass(frozen=True)
class TrainingProof:
    """Numbers of checked objects."""

    windows: int
    """Windows of `positions: every`; 0 otherwise."""
    drawable_items: int
    """Items that may be negatives, of the training and of a refit."""

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def prove_training(batches: RetrievalBatches, recipe: Recipe) -> TrainingProof:
    """Check the windows of the training, and its negatives and those of a refit. Raises LeakageError for a leak."""
    return TrainingProof(windows=prove_windows(batches), drawable_items=prove_negatives(batches.prepared, recipe))


def prove_windows(batches: RetrievalBatches) -> int:
    """Check that with `positions: every` each train positive is in one window and reads only its own history there.

    Returns the number of windows. The encoders are causal, so events after the prefix of a window never reach the
    example.
    """
    windows, samples = batches.windows, batches.prepared.samples
    if windows is None:
        return 0
    length = np.diff(windows.first)
    if windows.first[0] != 0 or windows.first[-1] != len(batches.examples) or (length < 1).any():
        raise LeakageError("the windows do not contain each train positive exactly once")
    width = batches.prepared.store.schema.history_length
    for block in in_blocks(len(batches.examples)):
        at = batches.examples[block]
        window = np.searchsorted(windows.first, np.arange(block.start, block.stop), side="right") - 1
        start, end = windows.start[window], samples.end[at]
        outside = (start < samples.start[at]) | (start > end) | (end > windows.end[window])
        bad = first_where(outside | (end - start > width))
        if bad is not None:
            raise LeakageError(f"sample {at[bad]} is in a window outside its history")
    last = batches.examples[windows.first[1:] - 1]
    bad = first_where(windows.end > samples.end[last])
    if bad is not None:
        raise LeakageError(f"window {bad} contains events after the history of its last example, sample {last[bad]}")
    return len(windows)


def prove_negatives(prepared: Prepared, recipe: Recipe) -> int:
    """Check that all items that may be drawn as negatives were available during the examples; returns their number.

    The availability of each item is checked with the prepared folder.
    """
    available, num_drawable = prepared.store.available, 0
    for parts in ((TRAIN,), REFIT_PARTS)[: 2 if recipe.retrieval.refit.epochs else 1]:
        examples = prepared.samples.positives(parts)
        time, may = prepared.samples.time[examples], drawable(prepared, examples)
        bad = first_where(may & ~available.within(int(time.min()), int(time.max())))
        if bad is not None:
            raise LeakageError(
                f"item row {bad} may be drawn as a negative, but is available from {available.from_N[bad]} until "
                f"{available.until_N[bad]}, and the examples are of {time.min()} to {time.max()}"
            )
        num_drawable = max(num_drawable, int(may.sum()))
    return num_drawable
