"""The last step of the pipeline: assembles the release, applies the gate, and makes the release live."""

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
from shortlist.release.gate import Verdict, apply_gate
from shortlist.release.manifest import MANIFEST, ReleaseError
from shortlist.release.registry import StaleError, publish
from shortlist.step_result import StepResult, read_record
from shortlist.storage import MissingError, Storage, open_storage


class Decision(BaseModel):
    """The content of decision.json."""

    published: bool
    release: str
    """The name of the assembled release, also if it was refused."""
    reason: str
    verdict: Verdict
    forced_by: str | None
    """Who overruled the gate; null if the gate was not overruled."""
    live: str | None
    """The release that is live now."""
    url: str
    """The root of the recommender's releases."""

    @property
    def headline(self) -> str:
        """The outcome in a few words."""
        reference = "the live release" if self.verdict.reference == "live" else "popularity"
        outcome = {
            "better": f"better than {reference}",
            "not_worse": f"not worse than {reference}",
            "cannot_tell": f"the gate cannot tell whether it is worse than {reference}",
            "worse": f"worse than {reference}",
            "bad_lists": "its lists must not be served",
        }[self.verdict.outcome]
        if self.published and self.forced_by:
            return f"Published, forced by {self.forced_by}: {outcome}"
        if self.published:
            return f"Published, but {outcome}" if self.verdict.outcome == "cannot_tell" else f"Published: {outcome}"
        return f"Refused: {outcome}" if not self.verdict.accepted else "Refused: another release became live meanwhile"


def release_root(recipe: Recipe) -> Storage:
    """The storage of this recommender's releases: `<publish.to>/<name>`. Raises ValueError for an unknown address."""
    return open_storage(f"{recipe.publish.to.rstrip('/')}/{recipe.name}")


def live_name(root: Storage) -> str | None:
    """The name of the live release; None if there is none, or if the pointer is broken: publishing rewrites it."""
    try:
        live = read_live(root)
    except ReleaseError:
        return None
    return live.release if live else None


def fetch_live(recipe: Recipe, into: Path) -> Path | None:
    """The live release's folder, named like the release; None if no release is live.

    A release that is not in a local folder is downloaded to `into`. A live release that cannot be used (damaged, or of
    another schema) must not block its successor: this is reported as a warning, and the returned folder contains at
    most the manifest, so that evaluate skips the comparison. Raises StorageError when the storage fails.
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
    """Assemble the release from these step folders, make it live if the gate accepts it, and write decision.json.

    Raises StorageError when the storage fails; the old release then stays live.
    """
    evaluation_json: dict[str, Any] = json.loads((evaluation / "evaluation.json").read_text())
    prepared = read_record(prepare_record).result.details
    parts = {"features": features, "retrieval": retrieval, "index": index}
    root = release_root(recipe)
    verdict = apply_gate(evaluation_json, recipe.gate)
    if recipe.ranking.enabled and verdict.serves == "path":
        parts["ranking"] = ranking
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".release-") as folder:
        lineage = lineage_of(recipe, prepared["digest"])
        file = evaluation / "evaluation.json"
        manifest = assemble(parts, recipe, file, lineage, Path(folder), serves=verdict.serves)
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
            f"served_{verdict.metric}": evaluation_json["systems"][verdict.serves][verdict.metric]["mean"],
            "release_mb": round(manifest.num_bytes / 1e6, 3),
        },
        details={
            "decision": decision.model_dump(mode="json"),
            "manifest": manifest.model_dump(mode="json"),
            "digests": digests_of(prepared["split_digest"], manifest).model_dump(),
        },
    )


def _decide(root: Storage, folder: Path, name: str, verdict: Verdict, forced_by: str | None) -> Decision:
    before = live_name(root)

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
        return decision(True, "this release is already live")
    if not verdict.accepted and forced_by is None:
        return decision(False, f"{verdict.reason}; to publish it anyway, use `shortlist run --force`")
    try:
        forced = None if verdict.accepted else forced_by
        publish(root, folder, replaces=verdict.compared_with, forced_by=forced)
        return decision(True, f"{verdict.reason}; forced by {forced}" if forced else verdict.reason, forced)
    except StaleError as error:
        if forced_by is None:
            return decision(False, str(error))
        publish(root, folder, replaces=None, forced_by=forced_by)
        return decision(True, f"{error}; forced by {forced_by}", forced_by)
