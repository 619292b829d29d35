"""From the path in a recipe to files on this disk: a file, a folder or a glob, on disk, `s3://` or `hf://`."""

import glob
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shortlist.data.sources import hub, s3
from shortlist.data.sources.errors import MissingSourceError, SourceError, named, near

_WILD = re.compile(r"[*?\[]")
_FOLDER_MARKER = "_$folder$"
"""At the end of the empty objects that Hadoop leaves for folders."""


@dataclass(frozen=True)
class Found:
    """A raw file on this disk, and its name for the user."""

    path: Path
    name: str


def find(path: str, scratch: Path, pick: Callable[[list[str]], list[str]] = list) -> list[Found]:
    """The files of a path, sorted by name; remote files are copied below `scratch` or into the cache of the hub.

    `pick` selects among the names of remote files before they are copied.

    An existing path is that file or folder, whatever characters it has; any other path is a pattern. A folder, also one
    that matches a pattern, means all files below it, except those whose name or folder starts with `.` or `_`, which
    have no rows. Raises MissingSourceError if there are none and SourceError if the storage cannot be read.
    """
    scheme, _, rest = path.partition("://")
    if not rest or scheme == "file":
        return [Found(file, str(file)) for file in _on_disk(rest or path)]
    if scheme == "s3":
        bucket, _, key = rest.partition("/")
        store = s3.Bucket(bucket)
        prefix = literal_prefix(key)
        # Other keys are listed only to suggest a similar name if nothing matches.
        keys = choose(key, store.keys(prefix) or store.keys(prefix.rpartition("/")[0]), path)
        return [Found(store.download(key, scratch / "s3"), f"s3://{bucket}/{key}") for key in pick(keys)]
    if scheme == "hf":
        repository, inside = hub.split(path)
        store_files = repository.files()
        names = choose(inside, store_files, path)
        return [Found(repository.download(name), f"{repository.url}/{name}") for name in pick(names)]
    raise SourceError(f"{path}: cannot read {scheme}://; use a path on disk, s3:// or hf://")


def versions(path: str) -> list[str]:
    """One line per file of a path, which changes with the file; nothing is copied. Raises the errors of `find`."""
    scheme, _, rest = path.partition("://")
    if not rest or scheme == "file":
        files = [(file, file.stat()) for file in _on_disk(rest or path)]
        return [f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in files]
    if scheme == "s3":
        bucket, _, key = rest.partition("/")
        tags = s3.Bucket(bucket).tags(literal_prefix(key))
        return [f"s3://{bucket}/{name} {tags[name]}" for name in choose(key, tags, path)]
    if scheme == "hf":
        repository, _ = hub.split(path)
        return [f"{path} {repository.commit()}"]
    raise SourceError(f"{path}: cannot read {scheme}://; use a path on disk, s3:// or hf://")


def literal_prefix(pattern: str) -> str:
    """The part of a pattern before its first wild character."""
    return _WILD.split(pattern, maxsplit=1)[0]


def folder_holding(path: str) -> Path:
    """The folder on this disk below which everything lies that `path` means; it need not exist."""
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        return place
    start = _start(place)
    return start if _WILD.search(str(place.relative_to(start))) else place.parent


def choose(pattern: str, names: Iterable[str], path: str) -> list[str]:
    """The names, `/` between their parts, that are the pattern, lie below it, or match it; sorted.

    Raises MissingSourceError, and SourceError where the pattern is both a file and the folder of others.
    """
    names = sorted(names)
    folder = pattern.rstrip("/") + "/" if pattern else ""
    below = [name for name in names if name.startswith(folder) and not _hidden(name[len(folder) :])]
    if pattern in names:
        if below:
            raise SourceError(
                f"{path}: is an object and the folder of others, like {below[0]}; write {path}/ for those below it, "
                f"or {path[:-1]}[{path[-1]}] for the object alone"
            )
        return [pattern]
    found = below or (_matching(pattern, names) if _WILD.search(pattern) else [])
    if not found:
        hint = near(pattern, names) or (f"; there are: {named(names, 5)}" if names else "")
        raise MissingSourceError(f"{path}: there is no such file{hint}")
    return found


def _on_disk(path: str) -> list[Path]:
    place = Path(path).expanduser()
    if place.is_file():
        return [place]
    if place.is_dir():
        inside = _files_below(place)
        if not inside:
            raise MissingSourceError(f"{path}: the folder has no files")
        return inside
    start = _start(place)
    pattern = str(place.relative_to(start))
    if _WILD.search(pattern):
        # The existing part of the path is literal, so that a folder may be named `[1]`.
        met = [Path(start, name) for name in glob.glob(pattern, root_dir=start, recursive=True)]  # noqa: PTH207 - Path.glob follows no links
        files = {file for one in met for file in ([one] if one.is_file() else _files_below(one))}
        matching = sorted(file for file in files if _wanted(str(file.relative_to(start)), pattern))
        if not matching:
            raise MissingSourceError(f"{path}: no file matches")
        return matching
    beside = sorted(file.name for file in place.parent.glob("*")) if place.parent.is_dir() else []
    hint = near(place.name, beside) or (f"; in {place.parent} are: {named(beside, 5)}" if beside else "")
    raise MissingSourceError(f"{path}: there is no such file{hint}")


def _start(place: Path) -> Path:
    """The longest existing parent folder of a path."""
    return next(parent for parent in place.parents if parent.is_dir() or parent == parent.parent)


def _files_below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file() and not _hidden(str(file.relative_to(folder))))


def _matching(pattern: str, names: list[str]) -> list[str]:
    """The names that match a glob, or are below a folder that does."""
    wild = re.compile(_regex(pattern.rstrip("/")) + "(?:/.*)?", re.DOTALL)
    return [name for name in names if wild.fullmatch(name) and _wanted(name, pattern)]


def _wanted(name: str, pattern: str) -> bool:
    """Whether a match may have rows: it is not hidden, or the pattern itself contains the `.` or `_`."""
    return _hidden(pattern) or not _hidden(name)


def _hidden(name: str) -> bool:
    return name.endswith(_FOLDER_MARKER) or any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)


def _regex(pattern: str) -> str:
    """A glob as a regular expression: `**/` any folders, `*` and `?` within one name, `[...]` a set."""
    tokens = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}

    def translate(match: re.Match[str]) -> str:
        token = match[0]
        if token in tokens:
            return tokens[token]
        return token.replace("[!", "[^", 1) if token.startswith("[") and len(token) > 1 else re.escape(token)

    return re.sub(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", translate, pattern, flags=re.DOTALL)
