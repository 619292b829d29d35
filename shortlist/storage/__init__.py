"""Key-value storage in a folder or in a bucket, behind one small interface."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from shortlist.storage.base import ChangedError, Entry, MissingError, Storage, StorageError, Stored
from shortlist.storage.folder import Folder

__all__ = [
    "ChangedError",
    "Entry",
    "Folder",
    "MissingError",
    "Storage",
    "StorageError",
    "Stored",
    "open_storage",
]


def open_storage(url: str) -> Storage:
    """The storage at a folder's path, `file:///folder` or `s3://bucket/prefix`; nothing is read or created yet.

    Raises ValueError for any other address.
    """
    scheme, _, rest = url.partition("://")
    if not rest and "://" not in url:
        if not url:
            raise ValueError("the address of the storage is empty; give a folder or s3://bucket/prefix")
        return Folder(Path(url))
    if scheme == "file":
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError(
                f"{url!r}: a file address has three slashes and an absolute path, like file:///data/releases"
            )
        return Folder(Path(unquote(parts.path)))
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3" and bucket:
        from shortlist.storage.bucket import Bucket  # noqa: PLC0415  # boto3 is slow to import

        return Bucket(bucket, prefix.strip("/"))
    raise ValueError(f"{url!r} is not a known kind of storage; give a folder, file:///folder or s3://bucket/prefix")
