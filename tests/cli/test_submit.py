"""`shortlist submit` against a small twin of the Kubeflow Pipelines API, which plays one run as 2.0.5 tells it."""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

RECIPE = """
name: shop
source: {kind: synthetic}
split: {kind: leave_one_out}
publish: {to: "s3://models/releases"}
"""
TIMES = {
    "create_time": "2026-01-01T00:00:00Z",
    "start_time": "2026-01-01T00:00:01Z",
    "end_time": "2026-01-01T00:00:09Z",
}


def task(name: str, state: str | None, node: str = "") -> dict[str, Any]:
    children = [{"pod_name": node}] if node else []
    return {"display_name": name, "state": state, "child_tasks": children, **TIMES} if state else {"display_name": name}


@dataclass
class Twin:
    """What the API answers, and what it was sent."""

    looks: list[dict[str, Any]]
    """The run, as it is seen at one look after the other; the last one stays."""
    logs: dict[str, str] = field(default_factory=dict)
    old: bool = True
    """Whether it refuses an exit handler that asks how the steps ended."""
    token: str | None = None
    uploads: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:  # noqa: PLR0911 - one a path
        if path.endswith("/healthz"):
            return 200, {"tag_name": "unknown", "multi_user": False}
        if found := re.search(r"/nodes/([\w-]+)/log", path):
            return 200, self.logs.get(found[1], '{"error_message": "no such pod"}')
        if "/upload" in path:
            self.uploads.append(body.decode())
            return 200, {"pipeline_id": "p", "pipeline_version_id": f"v{len(self.uploads)}"}
        if method == "POST" and path.endswith("/experiments"):
            return 200, {"experiment_id": "e"}
        if method == "POST":
            self.created.append(json.loads(body))
            if self.old and "taskFinalStatus" in self.uploads[-1]:
                return 400, {"error": "task final status not supported yet"}
            return 200, {"run_id": "r1", "recurring_run_id": "c1"}
        if "/runs/r1" in path:
            return 200, self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if "/experiments" in path:
            return 200, {"experiments": [{"experiment_id": "e", "display_name": "shop"}]}
        return 200, {}


@pytest.fixture
def serve() -> Iterator[Any]:
    running: list[http.server.ThreadingHTTPServer] = []

    def start(twin: Twin) -> Twin:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                allowed = twin.token is None or self.headers.get("Authorization") == f"Bearer {twin.token}"
                status, said = twin.answer(self.command, self.path, body) if allowed else (401, {"error": "who?"})
                data = (said if isinstance(said, str) else json.dumps(said)).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        twin.url = f"http://127.0.0.1:{server.server_port}"
        return twin

    yield start
    for server in running:
        server.shutdown()


def submit(tmp_path: Path, host: str, *options: str, recipe: str = RECIPE) -> subprocess.CompletedProcess[str]:
    (tmp_path / "shop.yaml").write_text(recipe)
    command = [sys.executable, "-m", "shortlist.cli", "submit", "shop.yaml", "--host", host, *options]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)


def run(state: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    return {"run_id": "r1", "state": state, "run_details": {"task_details": list(tasks)}}


def test_a_run_is_followed_step_by_step_to_what_it_left(tmp_path: Path, serve: Any) -> None:
    at_once = task("prepare", "SUCCEEDED") | {"end_time": TIMES["start_time"]}
    done = [task("publish", "SUCCEEDED", "wf-3"), task("report", "SUCCEEDED", "wf-4")]
    twin = serve(
        Twin(
            looks=[
                run("RUNNING", task("ingest-driver", "SUCCEEDED", "wf-1"), task("ingest", "RUNNING", "wf-1")),
                run("RUNNING", task("ingest", "SUCCEEDED", "wf-1"), task("validate", "SKIPPED"), task("export", None)),
                run("SUCCEEDED", task("ingest", "SUCCEEDED", "wf-1"), task("validate", "SKIPPED"), at_once, *done),
            ],
            logs={
                "wf-system-container-impl-3": "I1124 12:00:00 noise\npublished: release ab12: better\n",
                "wf-4": "report: minio://b/shortlist/r1/report/page\n",
            },
        )
    )
    ended = submit(tmp_path, twin.url)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0] == "warning: this version of Kubeflow Pipelines does not support the exit handler; left out"
    assert [line for line in lines if line.startswith(("ingest", "validate", "prepare"))] == [
        "ingest: running",
        "ingest: done in 8 s",
        "validate: from the cache",
        "prepare: from the cache",
    ]
    assert "published: release ab12: better" in lines
    assert "artifacts: minio://b/shortlist/r1/" in lines
    assert "noise" not in ended.stdout
    parameters = twin.created[-1]["runtime_config"]["parameters"]
    assert "name: shop" in parameters["recipe"]
    assert "taskFinalStatus" in twin.uploads[0]
    assert "taskFinalStatus" not in twin.uploads[-1]


def test_a_failed_step_is_told_with_its_last_lines_and_a_number(tmp_path: Path, serve: Any) -> None:
    log = "I1124 noise\nreading\nerror: events.csv: 3 rows lack a time\nTraceback\nError: exit status 1\n"
    late = run("FAILED", task("ingest", "RUNNING", "wf-1"))  # the API tells of the run before it tells of the step
    twin = serve(Twin([late, run("FAILED", task("ingest", "FAILED", "wf-1"))], {"wf-1": log}, old=False))
    ended = submit(tmp_path, twin.url)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == "ingest failed: events.csv: 3 rows lack a time"
    assert f"{twin.url}/#/runs/details/r1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_recurring_run_is_created_and_not_followed(tmp_path: Path, serve: Any) -> None:
    twin = serve(Twin([run("RUNNING")], old=False))
    ended = submit(tmp_path, twin.url, "--cron", "0 0 3 * * *")
    assert ended.returncode == 0, ended.stderr
    assert "recurring run c1: 0 0 3 * * *" in ended.stdout
    assert twin.created[-1]["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"


def test_what_can_be_mended_is_said_before_anything_is_sent(tmp_path: Path, serve: Any) -> None:
    twin = serve(Twin([run("RUNNING")]))
    ended = submit(tmp_path, twin.url, recipe=RECIPE.replace("s3://models/releases", ".work/releases"))
    assert ended.returncode == 2
    assert "publish.to: '.work/releases' would be deleted with the pod of the step" in ended.stderr
    assert not twin.uploads
    nobody = submit(tmp_path, "http://127.0.0.1:9")
    assert nobody.returncode == 1
    assert "Kubeflow Pipelines does not respond" in nobody.stderr
    assert "port-forward" in nobody.stderr


def test_a_refused_login_says_how_to_log_in(tmp_path: Path, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = serve(Twin([run("RUNNING")], token="right", old=False))
    ended = submit(tmp_path, twin.url, "--no-wait")
    assert ended.returncode == 1
    assert "access is refused (401); set KFP_TOKEN" in ended.stderr
    monkeypatch.setenv("KFP_TOKEN", "right")
    assert submit(tmp_path, twin.url, "--no-wait").returncode == 0


def test_ctrl_c_ends_the_following_and_says_that_the_run_goes_on(tmp_path: Path, serve: Any) -> None:
    twin = serve(Twin([run("RUNNING", task("ingest", "RUNNING", "wf-1"))], old=False))
    (tmp_path / "shop.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "shortlist.cli", "submit", "shop.yaml", "--host", twin.url]
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}
    followed = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=unbuffered)
    assert followed.stdout is not None
    assert any(line == "ingest: running\n" for line in followed.stdout)
    followed.send_signal(signal.SIGINT)
    said, _ = followed.communicate(timeout=60)
    assert followed.returncode == 130
    assert f"the run continues: {twin.url}/#/runs/details/r1" in said
