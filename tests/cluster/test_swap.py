"""`shortlist deploy` while users ask, with no more rights than the manifests give it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from app import NAMESPACE, ROOT, App, Seen, eventually, kubectl
from releases import BROKEN, Releases, put

from shortlist.release.bundle import read_manifest


@pytest.fixture(scope="module")
def deployer(app: App, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the account that may deploy and nothing else."""
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    token = kubectl("-n", NAMESPACE, "create", "token", "deployer", "--duration=1h").strip()
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = tmp_path_factory.mktemp("deployer") / "config"
    path.write_text(yaml.safe_dump(config))
    return path


class Deployer:
    """Runs the command line."""

    def __init__(self, kubeconfig: Path) -> None:
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig), "PYTHONUNBUFFERED": "1"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "shortlist.cli", "deploy", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *arguments: str) -> tuple[int, str]:
        with self.start(*arguments) as process:
            said, _ = process.communicate(timeout=900)
        print(f"\n$ shortlist deploy {' '.join(arguments)}\n{said}")
        return process.returncode, said


@pytest.fixture
def deploy(app: App, deployer: Path, releases: Releases) -> Iterator[Deployer]:
    """Before and after each test the first release answers; before, the predictor knows no other."""
    app.pin(releases.first.name)
    app.wait_until_ready()
    run = Deployer(deployer)
    yield run
    code, said = run(releases.first.name, "--min-overlap", "0")
    assert code == 0, said


def unharmed(seen: Seen, releases: Releases) -> None:
    print(seen.told())
    assert seen.failed == []
    assert seen.mixed(releases.first, releases.second) == []


def test_a_swap_and_the_way_back_cost_no_request_and_mix_nothing(
    app: App, deploy: Deployer, releases: Releases
) -> None:
    done = []
    with app.load(clients=6, per_second=40, seconds=600) as seen:
        for target in (releases.second, releases.first):
            code, said = deploy(target.name, "--min-overlap", "0")
            assert code == 0, said
            done.append(time.time())
            time.sleep(3)
    unharmed(seen, releases)
    # Once deploy has said so, nobody of the release before answers.
    after = [line["release"] for line in seen.lines if done[0] < line["at"] < done[0] + 3]
    assert {*after} == {releases.second.name}
    assert {line["release"] for line in seen.lines if line["at"] > done[1]} == {releases.first.name}
    answered = [line["release"] for line in seen.lines]
    assert {*answered} == {releases.first.name, releases.second.name}
    assert answered[-1] == releases.first.name


def test_what_was_there_already_is_not_taken_back(app: App, deploy: Deployer, releases: Releases) -> None:
    for target in (releases.second, releases.first):
        code, said = deploy(target.name, "--min-overlap", "0")
        assert code == 0, said
    # The predictor serves both now, so that nothing is written before the second is refused.
    with app.load(clients=4, per_second=20, seconds=600) as seen:
        code, said = deploy(releases.second.name, "--min-overlap", "0.9")
    assert code == 1, said
    assert f"nothing was changed: {releases.first.name} is live" in said
    unharmed(seen, releases)
    assert {line["release"] for line in seen.lines} == {releases.first.name}


@pytest.mark.parametrize("which", ["broken", "unranked", "too different", "not there"])
def test_a_bad_release_never_answers_anybody(app: App, deploy: Deployer, releases: Releases, which: str) -> None:
    release, options, why = {
        "broken": (BROKEN, [], f"expected the release {BROKEN}, found {releases.second.name}"),
        "unranked": (read_manifest(releases.unranked).name, [], "this release has no ranking/"),
        "too different": (releases.second.name, ["--min-overlap", "0.9"], "lower --min-overlap"),
        "not there": ("feedc0defeedc0de", [], "there is no release feedc0defeedc0de"),
    }[which]
    with app.load(clients=4, per_second=20, seconds=600) as seen:
        code, said = deploy(release, *options)
    assert code == 1, said
    assert why in said
    assert f"rolled back: {releases.first.name} is live again" in said
    unharmed(seen, releases)
    assert {line["release"] for line in seen.lines} == {releases.first.name}
    assert_nothing_is_left(releases)


def test_ctrl_c_takes_back_what_was_done(app: App, deploy: Deployer, releases: Releases) -> None:
    with app.load(clients=4, per_second=20, seconds=600) as seen, deploy.start(releases.second.name) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("expand:"):
                break
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=600)
    assert f"rolled back: {releases.first.name} is live again" in said
    assert process.returncode == 130
    unharmed(seen, releases)
    assert_nothing_is_left(releases)


def test_a_live_release_of_another_root_is_told_and_replaced(app: App, deploy: Deployer, releases: Releases) -> None:
    moved = f"{ROOT}-moved"
    with app.storage(moved) as root:
        put(root, releases.second.folder)
    with app.load(clients=4, per_second=20, seconds=600) as seen:
        with app.rooted(moved):
            code, said = deploy(releases.second.name)
            assert code == 1, said
            assert f"new pods read releases below {moved}" in said
            assert f"nothing was changed: {releases.first.name} is live" in said
            code, said = deploy(f"{moved}/releases/{releases.second.name}", "--replace", "--min-overlap", "0")
            assert code == 0, said
        code, said = deploy(releases.first.name, "--replace", "--min-overlap", "0")
        assert code == 0, said
    unharmed(seen, releases)
    assert {line["release"] for line in seen.lines} == {releases.first.name, releases.second.name}
    assert seen.lines[-1]["release"] == releases.first.name


def assert_nothing_is_left(releases: Releases) -> None:
    spec = json.loads(kubectl("-n", NAMESPACE, "get", "isvc", "shortlist", "-o", "jsonpath={.spec}"))
    live = f"releases/{releases.first.name}"
    assert spec["transformer"]["annotations"]["shortlist/release"] == live
    assert live in spec["predictor"]["annotations"].values()
    eventually(lambda: "rehearsal" not in kubectl("-n", NAMESPACE, "get", "pods", "-o", "name"), 60)
