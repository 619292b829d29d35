"""A folder as storage."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from shortlist.storage.base import (
    ChangedError,
    Entry,
    MissingError,
    Storage,
    StorageError,
    Stored,
    check_key,
    from_os_error,
    is_key,
)

_LOCK_SECONDS = 10.0


class Folder(Storage):
    """Keys are files below `root`.

    A file is written to `.partial`, synced to the disk and renamed, so that a crash leaves the old file or the new
    one. `replace` compares and renames under a lock (`.lock`) that the operating system releases when its holder
    dies; the version is the SHA-256 of the content.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.url = str(root)

    def path(self, key: str) -> Path:
        return self.root / check_key(key)

    def read(self, key: str) -> Stored:
        path = self.path(key)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise from_os_error(error, path) from error
        return Stored(data, hashlib.sha256(data).hexdigest())

    def stamp(self, key: str) -> str:
        path = self.path(key)
        try:
            about = path.stat()
        except OSError as error:
            raise from_os_error(error, path) from error
        return f"{about.st_ino} {about.st_mtime_ns} {about.st_size}"

    def write(self, key: str, data: bytes) -> None:
        with self._placing(key) as aside:
            aside.write_bytes(data)

    def replace(self, key: str, data: bytes, version: str | None) -> None:
        with self._locked():
            try:
                found: str | None = self.read(key).version
            except MissingError:
                found = None
            if found != version:
                raise ChangedError(f"{self.path(key)}: was changed by another process in the meantime")
            self.write(key, data)

    def list(self, prefix: str = "") -> list[Entry]:
        start = self.path(prefix) if prefix else self.root
        entries = []
        try:
            for folder, folders, names in os.walk(start, onerror=_raise):
                folders[:] = [name for name in folders if not name.startswith(".")]
                for name in names:
                    if not name.startswith("."):
                        path = Path(folder, name)
                        with contextlib.suppress(FileNotFoundError):  # deleted since the folder was read
                            about = path.stat()
                            key = path.relative_to(self.root).as_posix()
                            entries += [Entry(key, about.st_size, about.st_mtime)] if is_key(key) else []
        except FileNotFoundError:
            return []
        except OSError as error:
            raise from_os_error(error, start) from error
        return sorted(entries, key=lambda entry: entry.key)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            path = self.path(key)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise from_os_error(error, path) from error
            for parent in path.parents:
                if parent == self.root:
                    break
                try:
                    parent.rmdir()
                except OSError:  # the folder is not empty
                    break

    def put_file(self, path: Path, key: str) -> None:
        with self._placing(key) as aside:
            shutil.copyfile(path, aside)

    def get_file(self, key: str, path: Path) -> None:
        source = self.path(key)
        try:
            shutil.copyfile(source, path)
        except OSError as error:
            raise from_os_error(error, error.filename or source) from error

    def sweep(self, before: float) -> None:
        for path in (self.root / ".partial").glob("*"):
            with contextlib.suppress(FileNotFoundError):  # its writer just finished
                if path.stat().st_mtime < before:
                    path.unlink()

    @contextlib.contextmanager
    def _placing(self, key: str) -> Iterator[Path]:
        """A temporary path that is renamed to the key's file if the block succeeds, and removed otherwise."""
        target = self.path(key)
        aside = self.root / ".partial" / uuid.uuid4().hex
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            yield aside
            _sync(aside)
            aside.replace(target)
            _sync(target.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise from_os_error(error, target) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self.root / ".lock"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise from_os_error(error, lock) from error
        try:
            _wait_for(descriptor, lock)
            yield
        finally:
            os.close(descriptor)


def _wait_for(descriptor: int, lock: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                message = f"{lock}: held by another process for {_LOCK_SECONDS:.0f} s; end that process and try again"
                raise StorageError(message) from None
            time.sleep(0.01)
        except OSError as error:
            raise from_os_error(error, lock) from error
        else:
            return


def _sync(path: Path) -> None:
    """Wait until the bytes of a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise(error: OSError) -> None:
    raise error
