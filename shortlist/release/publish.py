"""The last step of the pipeline: assemble the release, ask the gate, make it live."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shortlist.progress import say
from shortlist.recipe import Recipe
from shortlist.release.bundle import assemble, lineage_of, open_release, read_live, release_key
from shortlist.release.digests import digests_of
from shortlist.release.gate import Verdict, judge
from shortlist.release.manifest import MANIFEST, ReleaseError
from shortlist.release.registry import StaleError, publish
from shortlist.step_result import StepResult, read_record
from shortlist.storage import MissingError, Storage, open_storage


class Decision(BaseModel):
    """decision.json."""

    published: bool
    release: str
    """The name of the release that was made, also of a refused one."""
    reason: str
    verdict: Verdict
    forced_by: str | None
    """Who overruled the gate; null when nobody had to."""
    live: str | None
    """What is live now."""
    url: str
    """The root of the recommender's releases."""

    @property
    def headline(self) -> str:
        """The outcome in a few words."""
        beside = "the live release" if self.verdict.reference == "live" else "popularity"
        said = {
            "better": f"better than {beside}",
            "not_worse": f"not worse than {beside}",
            "cannot_tell": f"the gate cannot tell whether it is worse than {beside}",
            "worse": f"worse than {beside}",
            "bad_lists": "its lists are not fit to be served",
        }[self.verdict.outcome]
        if self.published and self.forced_by:
            return f"Published, forced by {self.forced_by}: {said}"
        if self.published:
            return f"Published, but {said}" if self.verdict.outcome == "cannot_tell" else f"Published: {said}"
        return f"Refused: {said}" if not self.verdict.accepted else "Refused: another release became live meanwhile"


def release_root(recipe: Recipe) -> Storage:
    """Where this recommender's releases lie: `<publish.to>/<name>`. Raises ValueError for an unknown address."""
    return open_storage(f"{recipe.publish.to.rstrip('/')}/{recipe.name}")


def fetch_live(recipe: Recipe, into: Path) -> Path | None:
    """The live release's folder, named like the release; below `into` when it lies elsewhere. None if nothing is live.

    A live release that cannot be used (damaged, or of another schema) must not stand in the way of the one that
    will replace it: that is told, and its folder then holds at most a manifest, for evaluate to skip the comparison.
    Raises StorageError when the storage fails.
    """
    root = release_root(recipe)
    try:
        live = read_live(root)
    except ReleaseError as error:
        say(f"warning: {error}")
        return None
    if live is None:
        return None
    try:
        return open_release(root.url, live.release, into)
    except (ReleaseError, MissingError) as error:
        say(f"warning: the live release cannot be used: {error}")
    bare = into / live.release
    bare.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(MissingError):
        (bare / MANIFEST).write_bytes(root.read(release_key(live.release, MANIFEST)).data)
    return bare


def publish_step(
    recipe: Recipe,
    features: Path,
    prepare_record: Path,
    retrieval: Path,
    index: Path,
    ranking: Path,
    evaluation: Path,
    out: Path,
    forced_by: str | None = None,
) -> StepResult:
    """Make the release of these step folders live when the gate accepts it; leave `out`/decision.json.

    Of the samples it needs no more than prepare's record tells.
    Raises StorageError when the storage fails; the old release is live then.
    """
    judged: dict[str, Any] = json.loads((evaluation / "evaluation.json").read_text())
    prepared = read_record(prepare_record).result.details
    parts = {"features": features, "retrieval": retrieval, "index": index}
    root = release_root(recipe)
    verdict = judge(judged, recipe.gate)
    if recipe.ranking.enabled and verdict.serves == "path":
        parts["ranking"] = ranking
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".release-") as folder:
        lineage = lineage_of(recipe, prepared["digest"])
        told = evaluation / "evaluation.json"
        manifest = assemble(parts, recipe, told, lineage, Path(folder), serves=verdict.serves)
        decision = _decide(root, Path(folder), manifest.name, verdict, forced_by)
    (out / "decision.json").write_text(decision.model_dump_json(indent=1) + "\n")
    say(f"{'published' if decision.published else 'refused'}: release {decision.release}: {decision.reason}")
    say(f"releases: {decision.url}")
    for warning in verdict.warnings:
        say(f"warning: {warning}")
    return StepResult(
        rows_out={"files": len(manifest.files)},
        metrics={
            "published": float(decision.published),
            f"served_{verdict.metric}": judged["systems"][verdict.serves][verdict.metric]["mean"],
            "release_mb": round(manifest.num_bytes / 1e6, 3),
        },
        details={
            "decision": decision.model_dump(mode="json"),
            "manifest": manifest.model_dump(mode="json"),
            "digests": digests_of(prepared["split_digest"], manifest).model_dump(),
        },
    )


def _decide(root: Storage, folder: Path, name: str, verdict: Verdict, forced_by: str | None) -> Decision:
    before = _live_name(root)

    def decision(published: bool, reason: str, forced: str | None = None) -> Decision:
        return Decision(
            published=published,
            release=name,
            reason=reason,
            verdict=verdict,
            forced_by=forced,
            live=name if published else before,
            url=root.url,
        )

    if before == name:
        publish(root, folder, replaces=name)
        return decision(True, "this very release is live already")
    if not verdict.accepted and forced_by is None:
        return decision(False, f"{verdict.reason}; publish it all the same with `shortlist run --force`")
    try:
        forced = None if verdict.accepted else forced_by
        publish(root, folder, replaces=verdict.compared_with, forced_by=forced)
        return decision(True, f"{verdict.reason}; forced by {forced}" if forced else verdict.reason, forced)
    except StaleError as error:
        if forced_by is None:
            return decision(False, str(error))
        publish(root, folder, replaces=None, forced_by=forced_by)
        return decision(True, f"{error}; forced by {forced_by}", forced_by)


def _live_name(root: Storage) -> str | None:
    try:
        live = read_live(root)
    except ReleaseError:  # a broken pointer; publishing writes it anew
        return None
    return live.release if live else None
