"""Data-parallel training by several processes, as started by `torchrun`: each process computes a part of every step.

The parts of the loss add up to the loss of one process with the whole batch, so that gradients are summed, not
averaged. All processes then apply the same update. Only the first process writes files, and it broadcasts its
decisions to the others. `DistributedDataParallel` is not used, since several methods of the model are called and NCCL
cannot reduce sparse gradients.
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
    """The rank of this process and the number of processes; by default, there is only this one."""

    process: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.process == 0

    def broadcast(self, value: T) -> T:
        """The `value` of the first process, in all processes; plain Python objects or tensors."""
        if self.count == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def total(self, value: Tensor) -> Tensor:
        """The sum of a value over all processes, in all processes."""
        if self.count == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value

    def add_gradients(self, dense: Sequence[Tensor], tables: Sequence[Tensor]) -> None:
        """Replace each gradient by its sum over the processes; a missing gradient counts as zero.

        Dense gradients are reduced as one vector. The gradients of `tables` [num_rows, dim] are sparse, and only the
        rows of the step are exchanged: their indices and values, padded to the largest number of rows.
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
    """The row indices [U] and values [U, D] of a table's gradient."""
    if table.grad is None:
        return torch.zeros(0, dtype=torch.int64, device=table.device), table.new_zeros(0, table.shape[1])
    gradient = table.grad.coalesce()
    return gradient.indices()[0], gradient.values()


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """The process group of `torchrun`, initialised while the block runs; a single process without `torchrun`."""
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
