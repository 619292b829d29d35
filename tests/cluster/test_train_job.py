"""A TrainJob of a real Kubeflow Trainer trains the towers; `runs.py` says what these take from the environment."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from app import kubectl
from runs import HOST, MARKS, NAMESPACE, recipe, submit
from volume import claimed, writer

from shortlist.dataset.prepared import FOLDERS
from shortlist.pipelines import back_end

pytestmark = MARKS
OURS = ("-l", "app.kubernetes.io/part-of=shortlist")
PODS = ("-l", "jobset.sigs.k8s.io/jobset-name")


@pytest.fixture(scope="module", autouse=True)
def trainer() -> None:
    if "trainjobs" not in kubectl("api-resources", "--api-group=trainer.kubeflow.org", "-o", "name", check=False):
        pytest.skip("this cluster knows no trainjobs; these tests need Kubeflow Trainer 2")


def of_nodes(claim: str, name: str, batch: int, training: str = "epochs: 2, device: cpu") -> str:
    """Without dropout, which would differ between the processes."""
    more = f"  volumes: [{{claim: {claim}, path: /data}}]\n  distributed: {{nodes: 2, folder: /data/training}}"
    text = re.sub("^name: .*", f"name: {name}", recipe(more), flags=re.MULTILINE)
    training = f"{{batch_size: {batch}, precision: float32, threads: 1, {training}}}"
    towers = f"retrieval: {{dim: 16, hidden: [], dropout: 0, id_dropout: 0, training: {training}}}"
    return re.sub("^retrieval: .*", towers, text, flags=re.MULTILINE)


@contextmanager
def watched(what: tuple[str, ...], shown: str, to: Path) -> Iterator[Callable[[], set[str]]]:
    """What `shown` has been of each of `what` since the block began."""
    command = ["kubectl", "-n", NAMESPACE, "get", *what, "--watch", "-o", f"jsonpath={shown}{{'\\n'}}"]
    with to.open("w") as out, subprocess.Popen(command, stdout=out) as process:
        try:
            yield lambda: set(to.read_text().splitlines())
        finally:
            process.terminate()


def there(start: str) -> list[str]:
    """The TrainJobs and pods whose names start so, each with its phase if it has one."""
    shown = "jsonpath={range .items[*]}{.metadata.name} {.status.phase}{'\\n'}{end}"
    lines = kubectl("-n", NAMESPACE, "get", "trainjobs,pods", "-o", shown).splitlines()
    return [line for line in lines if line.startswith(start)]


def until(seconds: float, what: str, seen: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(1)


def test_two_nodes_have_the_loss_of_one_process_and_the_run_is_published(tmp_path: Path) -> None:
    state, phase = "{.metadata.name} {.status.conditions[*].type}", "{.metadata.name} {.status.phase}"
    with claimed() as claim, writer(claim) as pod:
        with (
            watched(("trainjobs", *OURS), state, tmp_path / "jobs") as seen_jobs,
            watched(("pods", *PODS), phase, tmp_path / "pods") as seen_pods,
        ):
            done = submit(tmp_path, of_nodes(claim, "2-nodes", batch=8), "--force")
        assert done.returncode == 0, done.stderr + done.stdout
        assert re.search(r"^published: release [0-9a-f]{16}", done.stdout, re.MULTILINE)
        (job,) = {line.split()[0] for line in seen_jobs() if line.startswith("towers-2-nodes-")}
        assert f"{job} Complete" in seen_jobs()
        ended = {line.split()[0] for line in seen_pods() if re.fullmatch(rf"{job}-node-0-\d-\w+ Succeeded", line)}
        assert len(ended) == 2, seen_pods()
        assert f"{job} " not in there(job), "the job is gone when its step has ended"

        def inside(*command: str, given: str | None = None) -> str:
            return kubectl("-n", NAMESPACE, "exec", "-i", pod, "--", *command, given=given)

        made = "/data/training/2-nodes"
        inside("sh", "-c", "cat > /data/one.yaml", given=of_nodes(claim, "one", batch=16))
        parts = [f"{made}/prepared/{part}" for part in FOLDERS]
        module = ("python", "-m", "shortlist.retrieval.together")
        inside(*module, "/data/one.yaml", *parts, "/data/one", "/data/one.json")
        two, one = (json.loads(inside("cat", file)) for file in (f"{made}/result.json", "/data/one.json"))
    assert two["details"]["curves"]["loss"] == pytest.approx(one["details"]["curves"]["loss"], rel=1e-4)
    assert two["metrics"]["valid_ndcg_at_10"] == pytest.approx(one["metrics"]["valid_ndcg_at_10"], abs=0.02)


def test_a_training_that_fails_on_its_nodes_says_why(tmp_path: Path) -> None:
    with claimed() as claim, writer(claim):
        failed = submit(tmp_path, of_nodes(claim, "no-gpu", batch=8, training="device: cuda"))
    assert failed.returncode == 1
    assert failed.stderr.startswith("train-retrieval failed: "), failed.stderr
    assert "this machine shows no CUDA device" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_run_that_is_terminated_takes_its_job_along(tmp_path: Path) -> None:
    with claimed() as claim, writer(claim):
        forever = "epochs: 100000, patience: 100000, device: cpu"
        started = submit(tmp_path, of_nodes(claim, "forever", batch=8, training=forever), "--no-wait")
        assert started.returncode == 0, started.stderr
        found = re.search(r"^run (\S+)", started.stdout, re.MULTILINE)
        assert found is not None, started.stdout
        until(900, "two nodes train", lambda: sum(one.endswith(" Running") for one in there("towers-forever-")) == 2)
        back_end.connect(HOST, NAMESPACE, None).client.terminate_run(found[1])
        until(120, "the job and its pods are gone", lambda: there("towers-forever-") == [])
