"""Names from outside: object keys, files of a hub or an archive, of a release's manifest, columns that name files.

A name is never a path by itself. It is looked at here before it is joined to a folder, and refused when it could lead
out of it, or to the same file as another name.
"""

import re
from pathlib import Path

_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Backslashes, control characters, and halves of surrogate pairs, which no UTF-8 has."""
_LONGEST_PART = 255
"""Bytes; what file systems take."""


class ForeignNameError(ValueError):
    """A name that cannot be a file below a folder of ours; the message says why."""


def plain(name: str) -> str:
    """The name itself, one or more parts with `/` between, when it stays below whatever folder it is joined to.

    Raises ForeignNameError for an absolute name, an empty part, `.`, `..`, a backslash, a control character, half of a
    surrogate pair, and a part of more than 255 bytes.
    """
    if name.startswith("/"):
        raise _refused(name, "it is absolute")
    if _UNSAFE.search(name):
        raise _refused(name, "it holds a backslash or a control character")
    for part in name.split("/"):
        if part in ("", ".", ".."):
            raise _refused(name, f"a part of it is {part!r}" if part else "a part of it is empty")
        if len(part.encode()) > _LONGEST_PART:
            raise _refused(name, f"a part of it is longer than {_LONGEST_PART} bytes")
    return name


def below(folder: Path, name: str) -> Path:
    """Where a name from outside lies below `folder`; other names lie elsewhere.

    Raises ForeignNameError for what `plain` refuses, and where a link that is there already leads out of the folder.
    """
    path = folder / plain(name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _refused(name, f"a link below {folder} leads out of it")
    return path


def _refused(name: str, why: str) -> ForeignNameError:
    shown = ascii(name) if len(name) < 2 * _LONGEST_PART else f"{name[:_LONGEST_PART]!a}..."
    return ForeignNameError(f"{shown} is not a name for a file: {why}; use a relative name, like logs/part-1.csv")
