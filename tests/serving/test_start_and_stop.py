"""How the services start, what they say when they cannot, and that nothing is left of them."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from released import pids_of, processes_about, wait_for_end

from shortlist.answer.release import find_release
from shortlist.release.bundle import read_manifest
from shortlist.serving.local import LocalService
from shortlist.serving.ports import free_ports
from shortlist.serving.predictor.torchserve import Options, PredictorError, TorchServe
from shortlist.serving.transformer import __main__ as transformer

SCRIPT = """
import sys, time
from shortlist.serving.local import LocalService
with LocalService(sys.argv[1], http_port=int(sys.argv[2])) as service:
    print(service.ask({"user_id": 3})["degraded"], flush=True)
    service.wait()
"""


@contextmanager
def running(release: Path, port: int, temp: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that keeps the services up, once it has had an answer; all its temporary files are below `temp`."""
    environment = os.environ | {"TMPDIR": str(temp)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(release), str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "False\n", process.communicate()[1]
        yield process
    finally:
        process.kill()
        process.communicate()


def eventually(happened: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happened():
            return True
        time.sleep(0.1)
    return False


def test_ctrl_c_leaves_nothing(unranked: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    temp = tmp_path_factory.mktemp("t")
    with running(unranked, free_ports(1)[0], temp) as process:
        assert any("shortlist.serving.transformer" in words for words in processes_about(unranked))
        process.send_signal(signal.SIGINT)
        wait_for_end(process)
        assert processes_about(unranked) == []
        assert list(temp.iterdir()) == []


def test_when_a_part_dies_all_end_and_the_next_start_works(
    release: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    temp = tmp_path_factory.mktemp("t")
    (port,) = free_ports(1)
    with running(release, port, temp) as process:
        (java,) = pids_of(f"-Djava.io.tmpdir={temp}")
        os.kill(java, signal.SIGKILL)
        assert wait_for_end(process) == 1
        _, said = process.communicate()
        assert "ServiceError: the predictor ended with code 1: TorchServe ended by itself\n" in said
        assert processes_about(temp) == []
        assert list(temp.iterdir()) == []
    with running(release, port, temp) as process:
        assert pids_of(f"-Djava.io.tmpdir={temp}")
        process.kill()
        assert eventually(lambda: processes_about(temp) == []), processes_about(temp)


def test_workers_are_spawned_and_each_opens_the_release(
    unranked: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log_dir = tmp_path_factory.mktemp("logs")
    with LocalService(unranked, workers=2, log_dir=log_dir) as service:
        assert service.predictor_url is None
        answers = [service.ask({"history": ["i1003"], "k": 5}) for _ in range(20)]
        assert all(answer["items"] == answers[0]["items"] for answer in answers)
        assert answers[0]["degraded"] is False
        spawned = [words for words in processes_about(Path.cwd()) if "spawn_main" in words]
        assert len(spawned) >= 2
    assert (log_dir / "transformer.log").read_text() == ""


@pytest.fixture
def busy() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        yield str(listener.getsockname()[1])


def refusal(service: str, capsys: pytest.CaptureFixture[str], *arguments: str, path: str | None = None) -> str:
    """The one line that a service says when it does not start because of what the user must mend."""
    if service == "transformer":
        code, said = transformer.main(arguments), capsys.readouterr().err
    else:
        ended = subprocess.run(
            [sys.executable, "-m", f"shortlist.serving.{service}", *arguments],
            env=os.environ | ({} if path is None else {"PATH": path}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        code, said = ended.returncode, ended.stderr
    assert code == 2
    assert said.startswith(f"{service}: ")
    assert said.count("\n") == 1
    return said.strip()


def test_a_port_in_use(release: Path, busy: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=f"port {busy} cannot be used .*another port: http_port"):
        LocalService(release, http_port=int(busy)).__enter__()
    for service, flag in (("predictor", "--port"), ("transformer", "--http_port"), ("transformer", "--grpc_port")):
        others = ["--http_port", str(free_ports(1)[0])] if flag == "--grpc_port" else []
        said = refusal(service, capsys, "--release", str(release), *others, flag, busy)
        assert f"port {busy} cannot be used (Address already in use); stop the process that uses it, " in said
        assert said.endswith(f"or set another port: {flag}")


def test_no_java(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    port = str(free_ports(1)[0])
    said = refusal("predictor", capsys, "--release", str(release), "--port", port, path=str(tmp_path))
    assert said.startswith("predictor: there is no java on the PATH, which TorchServe needs; install Java 17")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="there is no java on the PATH"):
        LocalService(release).__enter__()


def test_a_release_that_cannot_be_served(
    release: Path, unranked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(release, broken)
    with (broken / "retrieval/vectors.npy").open("r+b") as file:
        file.seek(500)
        file.write(b"\0\0\0\0")
    foreign = tmp_path / "foreign"
    shutil.copytree(release, foreign)
    manifest = json.loads((foreign / "manifest.json").read_text())
    (foreign / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    http_port, grpc_port, port = map(str, free_ports(3))
    ports = {"transformer": ["--http_port", http_port, "--grpc_port", grpc_port], "predictor": ["--port", port]}
    for service, folder, message in (
        ("transformer", broken, "retrieval/vectors.npy: corrupted"),
        ("predictor", broken, "retrieval/vectors.npy: corrupted"),
        ("transformer", foreign, "the release has schema 99; this version of shortlist reads schema 1"),
        ("transformer", tmp_path / "nothing", "no release is live"),
        ("transformer", release, "set its address with --predictor_host HOST:PORT"),
        ("predictor", unranked, "this release has no ranking/"),
    ):
        assert message in refusal(service, capsys, "--release", str(folder), *ports[service])


def test_a_release_is_found_by_its_root_or_its_name(unranked: Path, tmp_path: Path) -> None:
    name = read_manifest(unranked).name
    # A bucket's folder may be called releases as well.
    root = tmp_path / "releases/music"
    placed = root / "releases" / name
    shutil.copytree(unranked, placed)
    (root / "live.json").write_text(json.dumps({"release": name, "at": "2026-01-01T00:00:00Z"}))
    for where in (placed, root, f"{root}/", f"file://{placed}/"):
        assert find_release(str(where), tmp_path / "cache") == placed


def test_why_the_worker_did_not_start_is_said(release: Path, tmp_path: Path) -> None:
    """A ranker that is not of its vectors, in a folder whose hashes nobody has checked."""
    foreign = tmp_path / "foreign"
    shutil.copytree(release, foreign)
    ranking = json.loads((foreign / "ranking/ranking.json").read_text())
    (foreign / "ranking/ranking.json").write_text(json.dumps(ranking | {"schema_version": 99}))
    server = TorchServe([foreign], Options(port=free_ports(1)[0]))
    with pytest.raises(PredictorError, match=r"did not load the release: .*schema 99, this version of shortlist reads"):
        server.__enter__()


PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


def test_services_of_this_machine_are_not_asked_through_a_proxy_and_start_in_any_folder(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens at the proxy's address, and the names of the folders have a space and letters beyond ASCII."""
    temp, placed = tmp_path / "temp of André", tmp_path / "modèles, all/made"
    temp.mkdir()
    shutil.copytree(release, placed)
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(temp))
    with LocalService(placed) as service:
        assert service.ask({"user_id": 3})["degraded"] is False
    assert list(temp.iterdir()) == []


def test_the_reason_comes_before_what_a_service_says_otherwise(release: Path, tmp_path: Path) -> None:
    """A Java that does not start, and takes its leave with good news."""
    java = tmp_path / "bin/java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'Error: no memory for the heap'; echo 'all is well'; exit 1\n")
    java.chmod(0o755)
    script = f"import sys\nfrom shortlist.serving.local import LocalService\nLocalService({str(release)!r}).__enter__()"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"JAVA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    (first,) = [line for line in ended.stderr.splitlines() if line.startswith("shortlist.serving.child.ServiceError: ")]
    assert first.endswith(
        "the predictor ended with code 1: TorchServe ended before it was ready: Error: no memory for the heap"
    )
    assert "  all is well" in ended.stderr
