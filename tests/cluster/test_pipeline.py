"""The pipeline on a real Kubeflow Pipelines; `runs.py` says what it takes from the environment."""

import json
import random
import re
from pathlib import Path

from app import kubectl
from runs import MARKS, NAMESPACE, recipe, submit
from volume import claimed, writer

pytestmark = MARKS
STEPS = ["validate", "prepare", "train-retrieval", "export", "build-index", "train-ranking"]


def test_a_recipe_becomes_a_release_and_the_same_again_comes_from_the_cache(tmp_path: Path) -> None:
    text = recipe()
    # So little data that popularity is better: the gate must be overruled.
    first = submit(tmp_path, text, "--force")
    assert first.returncode == 0, first.stderr + first.stdout
    assert re.search(r"^published: release [0-9a-f]{16}", first.stdout, re.MULTILINE)
    assert re.search(r"^report: \w+://.*/report", first.stdout, re.MULTILINE)
    for step in ("survey", "ingest", *STEPS, "evaluate", "publish", "report"):
        assert f"\n{step}: done in " in first.stdout

    again = submit(tmp_path, text, "--force")
    assert again.returncode == 0, again.stderr + again.stdout
    assert "this release is already live" in again.stdout
    for step in ("ingest", *STEPS):
        assert f"\n{step}: from the cache" in again.stdout


def test_a_step_that_fails_ends_with_its_own_words(tmp_path: Path) -> None:
    columns = "columns: {user_id: a, item_id: b, time: c}"
    gone = f"source: {{kind: files, events: [{{path: 's3://no-such-bucket-of-ours/x.csv', {columns}}}]}}"
    text = re.sub(r"source: .*", gone, recipe())
    failed = submit(tmp_path, text)
    assert failed.returncode == 1
    assert failed.stderr.startswith("ingest failed: ")
    assert "no-such-bucket-of-ours" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_more_memory_than_its_limit_ends_the_step(tmp_path: Path) -> None:
    text = recipe("  steps: {train_retrieval: {memory_limit_gb: 0.05, memory_gb: 0.05}}")
    killed = submit(tmp_path, text)
    assert killed.returncode == 1
    assert killed.stderr.startswith("train-retrieval failed: ")


def test_events_and_releases_may_lie_on_a_volume(tmp_path: Path) -> None:
    with claimed() as claim, writer(claim) as pod:
        inside = ("-n", NAMESPACE, "exec", "-i", pod, "--")
        kubectl(*inside, "sh", "-c", "mkdir /data/raw && cat > /data/raw/events.csv", given=events())
        text = re.sub(r"to: \".*\"", "to: /data/releases", recipe(f"  volumes: [{{claim: {claim}, path: /data}}]"))
        columns = "{user_id: listener, item_id: track, time: second}"
        raw = f"source: {{kind: files, events: [{{path: /data/raw/events.csv, columns: {columns}}}]}}"
        text = re.sub(r"source: .*", raw, text)
        text = re.sub(r"interactions: .*|features: .*", "", text)
        done = submit(tmp_path, text, "--force")
        assert done.returncode == 0, done.stderr + done.stdout
        release = re.search(r"^published: release ([0-9a-f]{16})", done.stdout, re.MULTILINE)
        assert release is not None, done.stdout
        live = json.loads(kubectl(*inside, "cat", "/data/releases/tiny/live.json"))
        assert live["release"] == release[1]


_START = 1_704_067_200  # 2024-01-01: times near 1970 are refused


def events() -> str:
    """2,400 events of 60 listeners, within 30 days."""
    rng = random.Random(0)
    rows = [
        f"{listener},{rng.randrange(200)},{_START + rng.randrange(30 * 86_400)}"
        for listener in range(60)
        for _ in range(40)
    ]
    return "\n".join(["listener,track,second", *rows, ""])
