"""Hashes of files, and of numbers: for draws that depend only on them, and for tables of cells."""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

GAMMA = np.uint64(0x9E3779B97F4A7C15)
"""Increment of the state of SplitMix64 from one number to the next."""


def hash_file(path: Path) -> str:
    """SHA-256 in hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """SHA-256 of the named files of a folder, or of all files below it, by relative name. Raises OSError."""
    if names is None:
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    listed = list(names)
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(listed, pool.map(hash_file, [folder / name for name in listed]), strict=True))


def hash_of_hashes(hashes: Mapping[str, str]) -> str:
    """One SHA-256 of files from their names and hashes, independent of their order."""
    return hashlib.sha256("".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode()).hexdigest()


def hash_keys(keys_N: NDArray[Any]) -> NDArray[np.uint64]:
    """A 64-bit hash of each int64, or of each text of bytes (`S`), [N]; equal on every machine."""
    if keys_N.dtype.kind != "S":
        return splitmix64(keys_N.astype(np.int64, copy=False).view(np.uint64) + GAMMA)
    state_N, width = np.zeros(len(keys_N), np.uint64), keys_N.dtype.itemsize
    bytes_NW = np.ascontiguousarray(keys_N).view(np.uint8).reshape(len(keys_N), width)
    for byte_N in bytes_NW.T:  # NULs are only padding after the end: vocabularies have none in a word
        after_N = splitmix64(state_N + byte_N + GAMMA)
        state_N = np.where(byte_N > 0, after_N, state_N)
    return state_N


def cells_of(keys_N: NDArray[np.uint64], num_hashes: int, num_cells: int) -> NDArray[np.int64]:
    """The cell of each key by each of several hash functions, 0 to `num_cells - 1`, [num_hashes, N]."""
    with np.errstate(over="ignore"):
        seeds_H1 = splitmix64(np.arange(1, num_hashes + 1, dtype=np.uint64) * GAMMA)[:, None]
        return (splitmix64(keys_N + seeds_H1) % np.uint64(num_cells)).astype(np.int64)


def splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output of SplitMix64 for each state (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
