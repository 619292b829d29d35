"""Validates untrusted names: object keys, files of a hub or an archive, of a release's manifest, columns in file names.

A name is validated here before it is joined to a folder, and refused if it could lead out of the folder or to the same
file as another name.
"""

import re
from pathlib import Path

_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Backslashes, control characters, and halves of surrogate pairs, which are not valid in UTF-8."""
_LONGEST_PART = 255
"""Bytes; the limit of file systems."""


class ForeignNameError(ValueError):
    """A name that cannot be used for a file below a folder; the message has the reason."""


def plain(name: str) -> str:
    """The name itself, one or more parts separated by `/`, if it stays below any folder that it is joined to.

    Raises ForeignNameError for an absolute name, an empty part, `.`, `..`, a backslash, a control character, half of a
    surrogate pair, and a part of more than 255 bytes.
    """
    if name.startswith("/"):
        raise _refused(name, "it is absolute")
    if _UNSAFE.search(name):
        raise _refused(name, "it contains a backslash or a control character")
    for part in name.split("/"):
        if part in ("", ".", ".."):
            raise _refused(name, f"a part of it is {part!r}" if part else "a part of it is empty")
        if len(part.encode()) > _LONGEST_PART:
            raise _refused(name, f"a part of it is longer than {_LONGEST_PART} bytes")
    return name


def below(folder: Path, name: str) -> Path:
    """The path of an untrusted name below `folder`; different names have different paths.

    Raises ForeignNameError for names that `plain` refuses, and if an existing link leads out of the folder.
    """
    path = folder / plain(name)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _refused(name, f"a link below {folder} leads out of it")
    return path


def _refused(name: str, why: str) -> ForeignNameError:
    shown = ascii(name) if len(name) < 2 * _LONGEST_PART else f"{name[:_LONGEST_PART]!a}..."
    return ForeignNameError(f"{shown} is not a valid file name: {why}; use a relative name, like logs/part-1.csv")
