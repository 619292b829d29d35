"""Opens the arrays of a release as memory maps."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def open_arrays(folder: Path, *names: str, what: str) -> list[NDArray[Any]]:
    """The arrays `<folder>/<name>.npy`, as plain views of the mapped files, since np.memmap is slow to index.

    Raises ValueError when one is missing or broken; the message calls them `what`.
    """
    try:
        return [np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)) for name in names]
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{folder}: {what} cannot be read: {error}") from error
