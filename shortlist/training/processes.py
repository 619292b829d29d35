"""Several processes that train one model together, as `torchrun` starts them: each has a part of every step.

Each process computes its part of the loss, whose parts add up to that of one process with the whole batch, so their
gradients are added up, not averaged. Then all move their weights alike. Only the first writes, and what it decides is
told to the others. The model is used by several methods and has sparse gradients, which NCCL cannot add up, so this is
done here and not by `DistributedDataParallel`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together; by default it is alone."""

    process: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.process == 0

    def told(self, value: T) -> T:
        """What the first process has as `value`, in all of them; plain Python or tensors."""
        if self.count == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def total(self, value: Tensor) -> Tensor:
        """The sum of a value over the processes, the same in each."""
        if self.count == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value

    def add_gradients(self, dense: Sequence[Tensor], tables: Sequence[Tensor]) -> None:
        """Replace each gradient by the sum over the processes; a weight without one in a process counts as zero there.

        Dense gradients go as one long vector. Of `tables` [num_rows, dim] the gradients are sparse, and only the rows
        that a step reads are sent: their numbers and values, filled up to the longest.
        """
        if self.count == 1:
            return
        if dense:
            parts = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in dense]
            whole = torch.cat([part.flatten() for part in parts])
            dist.all_reduce(whole)
            for weight, part in zip(dense, torch.split(whole, [part.numel() for part in parts]), strict=True):
                weight.grad = part.view_as(weight)
        for table in tables:
            table.grad = self._add_rows(table)

    def _add_rows(self, table: Tensor) -> Tensor:
        rows_U, values_UD = _rows(table)
        most = self._most(len(rows_U), table.device)
        sent_M = torch.full((most,), -1, device=table.device)
        sent_MD = torch.zeros(most, table.shape[1], device=table.device, dtype=table.dtype)
        sent_M[: len(rows_U)], sent_MD[: len(rows_U)] = rows_U, values_UD
        got_PM = [torch.empty_like(sent_M) for _ in range(self.count)]
        got_PMD = [torch.empty_like(sent_MD) for _ in range(self.count)]
        dist.all_gather(got_PM, sent_M)
        dist.all_gather(got_PMD, sent_MD)
        rows, values = torch.cat(got_PM), torch.cat(got_PMD)
        held = rows >= 0
        return torch.sparse_coo_tensor(rows[held][None], values[held], table.shape).coalesce()

    def _most(self, count: int, device: torch.device) -> int:
        largest = torch.tensor(count, device=device)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return int(largest)


def _rows(table: Tensor) -> tuple[Tensor, Tensor]:
    """The rows [U] that a table's gradient has, and their values [U, D]."""
    if table.grad is None:
        return torch.zeros(0, dtype=torch.int64, device=table.device), table.new_zeros(0, table.shape[1])
    gradient = table.grad.coalesce()
    return gradient.indices()[0], gradient.values()


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that `torchrun` started, joined while the block runs; one alone without it."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()
