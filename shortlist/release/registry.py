"""The releases of one recommender: publish, list, promote, roll back, prune.

A release is uploaded under its own name, its manifest last. Then the pointer `live.json` is swapped by
compare-and-set, so that readers see the change atomically.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from shortlist.release.bundle import LIVE, Live, parse_live, read_live, read_manifest, read_pointer, release_key
from shortlist.release.manifest import MANIFEST, Manifest, ReleaseError, entries, parse_manifest
from shortlist.storage import ChangedError, MissingError, Storage, Stored

_SWAPS = 5
_ABANDONED_SECONDS = 86_400.0


class Listed(BaseModel):
    """One release of a listing."""

    name: str
    manifest: Manifest | None
    problem: str | None = None
    """Why the manifest cannot be shown, for example another schema."""
    published: float
    """The time at which its manifest was written, in seconds since the epoch."""
    is_live: bool
    is_previous: bool


class StaleError(ReleaseError):
    """Another release became live after this one was evaluated."""


def publish(root: Storage, folder: Path, *, replaces: str | None, forced_by: str | None = None) -> Live:
    """Upload a release's folder and make it live in place of `replaces` (None: no release was live).

    Nothing changes if the release is already live. If it was uploaded before, only the pointer is moved.
    Raises StaleError when another release than `replaces` is live, unless `forced_by` names the user who forces it.
    """
    manifest = read_manifest(folder)
    wrong = _wrong_files(root, manifest)
    root.upload(folder, wrong, release_key(manifest.name))
    if wrong or not _has_manifest(root, manifest):
        root.write(release_key(manifest.name, MANIFEST), manifest.canonical())

    def may_replace(found: str | None) -> None:
        if found != replaces and forced_by is None:
            raise StaleError(
                f"{root.url}: release {found} became live while {manifest.name} was being compared with "
                f"{replaces or 'nothing'}; run again to compare them, or force it"
            )

    return _swap(root, manifest.name, may_replace, forced_by)


def promote(root: Storage, name: str, forced_by: str | None = None) -> Live:
    """Make an earlier release live again. Raises ReleaseError when it is missing or incomplete."""
    key = release_key(name, MANIFEST)
    try:
        manifest = parse_manifest(root.read(key).data, f"{root.url}/{key}")
    except MissingError:
        raise ReleaseError(f"{root.url}: there is no release {name}; see `shortlist releases list`") from None
    wrong = _wrong_files(root, manifest)
    if wrong:
        place = f"{root.url}/{release_key(name, wrong[0])}"
        raise ReleaseError(f"{place}: missing or corrupted; publish the release again (`shortlist run`)")
    return _swap(root, name, lambda _: None, forced_by)


def rollback(root: Storage) -> Live:
    """Make the previous release live; a second call reverts this. Raises ReleaseError when there is none."""
    live = read_live(root)
    if live is None or live.previous is None:
        raise ReleaseError(f"{root.url}: there is no earlier release to roll back to")
    return promote(root, live.previous)


def list_releases(root: Storage) -> list[Listed]:
    """All complete releases, newest first; an unfinished upload has no manifest and is not listed."""
    live = _parsed(read_pointer(root), root)
    found = []
    for entry in root.list("releases"):
        name, _, file = entry.key.removeprefix("releases/").partition("/")
        if file != MANIFEST:
            continue
        manifest, problem = None, None
        try:
            manifest = parse_manifest(root.read(entry.key).data, f"{root.url}/{entry.key}")
        except ReleaseError as error:
            problem = str(error)
        found.append(
            Listed(
                name=name,
                manifest=manifest,
                problem=problem,
                published=entry.modified,
                is_live=live is not None and live.release == name,
                is_previous=live is not None and live.previous == name,
            )
        )
    return sorted(found, key=lambda one: (-one.published, one.name))


def find(listed: Sequence[Listed], start: str, url: str) -> Listed:
    """The release whose name starts with `start`; `url` is their root, for the error message.

    Raises ReleaseError when there is none, or more than one.
    """
    found = [one for one in listed if one.name.startswith(start)] if start else []
    if len(found) == 1:
        return found[0]
    names = ", ".join(one.name for one in found or listed) or "none"
    problem = "more than one release starts with" if found else "there is no release"
    raise ReleaseError(f"{url}: {problem} {start!r}; there are: {names}")


def prune(root: Storage, keep: int) -> list[str]:
    """Delete all releases except the newest `keep`, the live and the previous one; returns the deleted names.

    Uploads that were abandoned more than a day ago are deleted as well. Do not call this while an old release is being
    promoted.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}; keep at least 1 release")
    listed = list_releases(root)
    kept = {one.name for one in listed[:keep]} | {one.name for one in listed if one.is_live or one.is_previous}
    whole = {one.name for one in listed}
    before = time.time() - _ABANDONED_SECONDS
    files: dict[str, list[str]] = {}
    newest: dict[str, float] = {}
    for entry in root.list("releases"):
        name = entry.key.split("/")[1]
        files.setdefault(name, []).append(entry.key)
        newest[name] = max(entry.modified, newest.get(name, 0.0))
    gone = sorted(name for name in files if name not in kept and (name in whole or newest[name] < before))
    for name in gone:
        key = release_key(name, MANIFEST)
        root.delete([key])  # the manifest first, so that no reader sees an incomplete release
        root.delete([other for other in files[name] if other != key])
    root.sweep(before)
    return gone


def _swap(root: Storage, name: str, may_replace: Callable[[str | None], None], forced_by: str | None) -> Live:
    for _ in range(_SWAPS):
        stored = read_pointer(root)
        live = _parsed(stored, root)
        if live is not None and live.release == name:
            return live
        found = live.release if live is not None else None
        may_replace(found)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        pointer = Live(release=name, previous=found, forced_by=forced_by, at=at)
        try:
            root.replace(LIVE, pointer.model_dump_json(indent=1).encode(), stored.version if stored else None)
        except ChangedError:
            continue
        return pointer
    raise ReleaseError(f"{root.url}/{LIVE}: another process changed it during each of {_SWAPS} attempts; try again")


def _parsed(stored: Stored | None, root: Storage) -> Live | None:
    """Like `parse_live`, but None for a broken pointer, so that releases can be listed and the pointer rewritten."""
    try:
        return parse_live(stored, root)
    except ReleaseError:
        return None


def _wrong_files(root: Storage, manifest: Manifest) -> list[str]:
    """Files that are missing or have the wrong size; on a local disk also those with the wrong content."""
    folder = release_key(manifest.name)
    sizes = {entry.key.removeprefix(f"{folder}/"): entry.size for entry in root.list(folder)}
    wrong = {name for name, entry in manifest.files.items() if sizes.get(name) != entry.size}
    here = root.path(folder)
    if here is not None:
        present = [name for name in manifest.files if name not in wrong]
        wrong |= {name for name, entry in entries(here, present).items() if entry != manifest.files[name]}
    return sorted(wrong)


def _has_manifest(root: Storage, manifest: Manifest) -> bool:
    try:
        return root.read(release_key(manifest.name, MANIFEST)).data == manifest.canonical()
    except MissingError:
        return False
