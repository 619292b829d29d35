"""The interface of a storage, and its errors."""

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shortlist.names import ForeignNameError, below, plain

_WORKERS = 4
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_Item = TypeVar("_Item")


class StorageError(OSError):
    """A storage cannot be read or written; the message names it and says what to do."""


class MissingError(StorageError):
    """The key does not exist."""


class ChangedError(StorageError):
    """The value to be replaced was changed by another process."""


@dataclass(frozen=True)
class Stored:
    """The value of a key."""

    data: bytes
    version: str
    """An opaque version, which differs for different contents; `replace` compares it."""


@dataclass(frozen=True)
class Entry:
    """One entry of a listing."""

    key: str
    size: int
    modified: float
    """Seconds since the epoch."""


class Storage(ABC):
    """Values under keys like `releases/ab12/manifest.json`, below one root.

    Every write is atomic: readers find the old bytes or the new ones, also after a crash. Every method raises
    StorageError, and ValueError for a key that would leave the root.
    """

    url: str

    @abstractmethod
    def read(self, key: str) -> Stored:
        """Read a value. Raises MissingError."""

    @abstractmethod
    def stamp(self, key: str) -> str:
        """An opaque text that changes when the value is replaced, found without reading the value. Raises MissingError.

        It tells when to read again; only the version from `read` differs for all different contents.
        """

    @abstractmethod
    def write(self, key: str, data: bytes) -> None:
        """Write a value, replacing any existing one."""

    @abstractmethod
    def replace(self, key: str, data: bytes, version: str | None) -> None:
        """Write only if the current version is `version`, or with None only if the key does not exist.

        Raises ChangedError otherwise.
        """

    @abstractmethod
    def list(self, prefix: str = "") -> list[Entry]:
        """All keys below the folder `prefix`, sorted, without incomplete and hidden (`.name`) files."""

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Delete keys; a missing key is not an error."""

    @abstractmethod
    def put_file(self, path: Path, key: str) -> None:
        """Copy a file in."""

    @abstractmethod
    def get_file(self, key: str, path: Path) -> None:
        """Copy a file out to an existing folder. Raises MissingError."""

    @abstractmethod
    def sweep(self, before: float) -> None:
        """Remove incomplete files of writers that died before that time (seconds since the epoch)."""

    def path(self, key: str) -> Path | None:
        """The path of the key on this machine's disk, or None if it is not stored there."""
        check_key(key)
        return None

    def upload(self, folder: Path, names: Iterable[str], prefix: str) -> None:
        """Copy the files `names` of a folder to the same names below `prefix`, a few at a time."""
        _each(lambda name: self.put_file(folder / check_key(name), f"{prefix}/{name}"), names)

    def download(self, prefix: str, names: Iterable[str], folder: Path) -> None:
        """Copy the files `names` below `prefix` into a folder, a few at a time."""

        def get(name: str) -> None:
            path = below(folder, check_key(name))
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise from_os_error(error, path) from error
            self.get_file(f"{prefix}/{name}", path)

        _each(get, names)


def check_key(key: str) -> str:
    """Returns the key if it stays below the root. Raises ValueError otherwise."""
    try:
        parts = plain(key).split("/")
    except ForeignNameError as error:
        raise ValueError(f"{key!r} is not a key: {error}") from None
    if any(part.startswith(".") for part in parts):
        raise ValueError(f"{key!r} is not a key: a part of it is hidden; use one like releases/ab12/manifest.json")
    return key


def is_key(text: str) -> bool:
    """Whether a text is a valid key; a bucket may also contain objects of other applications."""
    try:
        check_key(text)
    except ValueError:
        return False
    return True


def from_os_error(error: OSError, place: object) -> StorageError:
    """A StorageError for an error of the operating system, with its error number and a remedy."""
    if isinstance(error, StorageError):
        return error
    kind = StorageError
    if error.errno == errno.ENOENT:
        kind, message = MissingError, "there is nothing here"
    elif error.errno in _FULL:
        message = "no space left on the disk; incomplete files were removed; free some space and run again"
    elif error.errno in _FORBIDDEN:
        message = f"not permitted ({error.strerror}); give this user the right to write and read here"
    else:
        message = error.strerror or str(error)
    ours = kind(f"{place}: {message}")
    ours.errno = error.errno
    return ours


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically. Raises StorageError."""
    aside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise from_os_error(error, path) from error


def _each(work: Callable[[_Item], None], items: Iterable[_Item]) -> None:
    """Run `work` on each item in a few threads; the first error cancels the rest."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        running = [pool.submit(work, item) for item in items]
        try:
            for future in running:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
