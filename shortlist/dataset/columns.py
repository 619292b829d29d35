"""Writing columns to .npy files from the front to the back, in pieces."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from shortlist.names import below


class ColumnWriter:
    """Columns of known length, each a .npy file that grows piece by piece; equal bytes to `np.save` of the whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = ExitStack()
        self._files: dict[str, tuple[Any, np.dtype[Any], tuple[int, ...]]] = {}
        self._written: dict[str, int] = {}

    def add(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
        path = below(self.folder, f"{name}.npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = self._open.enter_context(path.open("wb"))
        kind = np.dtype(dtype)
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        self._files[name], self._written[name] = (file, kind, shape), 0

    def write(self, name: str, rows: NDArray[Any]) -> None:
        """Append rows to the column."""
        file, kind, shape = self._files[name]
        assert rows.shape[1:] == shape[1:], (name, rows.shape, shape)
        file.write(np.ascontiguousarray(rows, kind).data)
        self._written[name] += len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if error is None:
            for name, (_, _, shape) in self._files.items():
                assert self._written[name] == shape[0], (name, self._written[name], shape)


def save(path: Path, array: NDArray[Any]) -> None:
    """`np.save` that makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def load(path: Path) -> NDArray[Any]:
    """A plain memory-mapped array: `np.memmap` itself makes every small gather slower."""
    array: NDArray[Any] = np.load(path, mmap_mode="r").view(np.ndarray)
    return array


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that make up `count`; one that is empty of nothing."""
    for start in range(0, max(count, 1), size):
        yield slice(start, min(start + size, count))
