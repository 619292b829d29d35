"""One training and its judgement: what it is named by, and its result on disk.

    .work/quality/data/<data>-<hash>/      what prepare wrote, and data.json: the digest of it and the commit
    .work/quality/results/<data>/<key>/    values.npz (`<system>/<metric>` float32 [Q]) and result.json
    .work/quality/checkpoints/<key>/       of a training that is not done, or that the test goes on from

The key is the hash of the protocol, of the recipe or the peer's settings, of the data, the seed, the part, and of the
code that takes part.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.judge import judge
from benchmarks.quality.peers import DRAWS_NOTHING, PEERS, make_peer
from benchmarks.quality.protocol import ROOT, Protocol, load_protocol, recipe_of
from benchmarks.quality.rows import Part, read_rows
from shortlist.recipe import Recipe

OURS = "shortlist"
_SHARED_CODE = ("benchmarks/quality/rows.py", "benchmarks/quality/judge.py", "shortlist/metrics/ranking.py")
_OUR_CODE = ("shortlist/retrieval", "shortlist/ranking", "shortlist/training", "shortlist/features")


def work_folder() -> Path:
    return Path(os.environ.get("SHORTLIST_WORK", ROOT / ".work")) / "quality"


@dataclass(frozen=True)
class Job:
    """One model with its settings on one part of one data set."""

    data: str
    model: str
    """`shortlist`, or the name of a peer."""
    seed: int
    part: Part
    settings: dict[str, Any] = field(default_factory=dict)
    """Of a peer's grid; of ours, changes to the recipe by dotted path."""

    @property
    def config(self) -> str:
        """What is picked on validation: protocol, recipe and settings, whatever the seed, the part and the code. The
        recipe with its defaults: one that changes makes another configuration."""
        ours = self.model == OURS
        recipe = _plain(recipe_of(self.data, self.settings).model_dump_json()) if ours else dump_data(self.data)
        return _hash(rules(load_protocol(self.data)), recipe, self.model, json.dumps(self.settings, sort_keys=True))

    @property
    def key(self) -> str:
        return self._key(self.part)

    @property
    def checkpoints(self) -> Path:
        """Of both parts: the test goes on from the training that validation judged, with a refit."""
        return work_folder() / "checkpoints" / self._key("")

    def _key(self, part: str) -> str:
        digest = json.loads((data_folder(self) / "data.json").read_text())["digest"]
        return _hash(self.config, digest, str(self.seed), part, code_hash(self.model))

    @property
    def folder(self) -> Path:
        return work_folder() / "results" / self.data / self.key

    @property
    def done(self) -> bool:
        """Never where the data were not even prepared."""
        return (data_folder(self) / "data.json").exists() and (self.folder / "result.json").exists()

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.data} {self.part} {self.model}{f'({told})' if told else ''} seed {self.seed}"


def check_done(jobs: Sequence[Job]) -> None:
    """Raises ValueError while one of them has no result, naming the first."""
    missing = [str(job) for job in jobs if not job.done]
    if missing:
        raise ValueError(f"{len(missing)} of {len(jobs)} runs are missing, the first: {missing[0]}")


def seeds_of(protocol: Protocol, model: str) -> list[int]:
    return protocol.seeds[:1] if model in DRAWS_NOTHING else protocol.seeds


def rules(protocol: Protocol) -> str:
    """The protocol without what is only told: the published figures and the list of peers."""
    told = {"title", "source", "published", "peers", "left_out", "must_exceed", "seeds"}
    return protocol.model_dump_json(exclude=told)


def dump_data(data: str, changes: dict[str, Any] | None = None) -> str:
    """The part of our recipe that `prepare` follows."""
    recipe = recipe_of(data, changes)
    parts = {
        name: getattr(recipe, name).model_dump(mode="json", exclude_defaults=True)
        for name in ("source", "interactions", "contract", "split", "features", "evaluation")
    }
    drawn = recipe.ranking.max_queries if recipe.ranking.enabled else 0
    return f"{_plain(json.dumps(parts, sort_keys=True))} {recipe.seed} {drawn}"


def _plain(recipe: str) -> str:
    """Without where the raw files lie: the same on every machine."""
    for name, default in (("SHORTLIST_DATA", ""), ("SHORTLIST_WORK", ".work")):
        recipe = recipe.replace(f"{os.environ.get(name, default)}/", "")
    return recipe


def data_folder(job: Job) -> Path:
    """The peers read what our recipe as it stands prepared; a change of ours to the features has its own."""
    changes = job.settings if job.model == OURS else None
    return work_folder() / "data" / f"{job.data}-{_hash(dump_data(job.data, changes))}"


def run_job(job: Job) -> None:
    """Train, judge and keep the values; nothing happens when the result is there."""
    if job.done:
        return
    protocol, prepared, start = load_protocol(job.data), data_folder(job), time.perf_counter()
    rows = read_rows(prepared, protocol, job.part)
    details: Any = {}
    if job.model == OURS:
        # Imported here: peers run where FAISS and ONNX Runtime are not.
        from benchmarks.quality.ours import trained  # noqa: PLC0415

        recipe = with_seed(recipe_of(job.data, job.settings), job.seed)
        with trained(recipe, prepared, job.part, job.checkpoints) as (rank, details):
            judged = judge(rows, rank, protocol.metrics)
        if job.part == "test" or job.settings:  # a changed recipe is never tested
            shutil.rmtree(job.checkpoints)
    else:
        peer = make_peer(job.model, job.settings, job.seed)
        peer.fit(rows)
        judged = judge(rows, lambda at, k: {job.model: peer.rank(at, k)}, protocol.metrics)
    seconds = round(time.perf_counter() - start, 1)
    means = {s: {m: float(v.mean()) for m, v in values.items()} for s, values in judged.items()}
    _keep(job, judged, {"means": means, "seconds": seconds, "details": details})


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The training's seed; the rows were drawn by the recipe's own, which stays the same for all seeds."""
    return recipe.model_copy(update={"seed": seed})


def _keep(job: Job, judged: dict[str, Any], told: dict[str, Any]) -> None:
    """The folder appears complete or not at all."""
    made = job.folder.with_name(f"{job.key}.{os.getpid()}")
    made.mkdir(parents=True)
    arrays = {f"{s}/{m}": v.astype(np.float32) for s, values in judged.items() for m, v in values.items()}
    np.savez_compressed(made / "values.npz", **arrays)
    result = {"job": asdict(job), "config": job.config, "commit": commit(job), **told}
    (made / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    made.rename(job.folder)


def commit(job: Job) -> str:
    """Of the code that ran; where there is no repository, of the code that prepared."""
    return git_commit() or str(json.loads((data_folder(job) / "data.json").read_text())["commit"])


def git_commit() -> str:
    """Empty where this is no repository; `-changed` behind it where tracked files were, but for the picks, which the
    bench itself writes on its way from validation to test."""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!recipes/bench/picked.json")
    return f"{commit}-changed" if changed else commit


def _git(*arguments: str) -> str:
    told = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return told.stdout.strip()


@cache
def code_hash(model: str) -> str:
    """Of the modules that a model's figures depend on, as text: a syntax tree differs from one Python to the next."""
    if model == OURS:
        paths: list[str] = [*_SHARED_CODE, "benchmarks/quality/ours.py", *_OUR_CODE]
    else:
        module = PEERS[model].partition(":")[0].replace(".", "/") + ".py"
        paths = [*_SHARED_CODE, "benchmarks/quality/peers.py", "shortlist/evaluation/baselines.py", module]
    files = [file for path in paths for file in (sorted((ROOT / path).rglob("*.py")) or [ROOT / path])]
    return _hash(*(file.read_text(encoding="utf-8") for file in files))


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
