"""What the command line puts right on a machine, and what it does not load."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shortlist.cli.machine import prepare_machine
from shortlist.serving.loopback import bypass_proxies

# Typer brings pydantic.
HEAVY = {
    *("torch", "polars", "pyarrow", "pandas", "numpy", "faiss", "onnxruntime", "boto3", "docker"),
    *("kfp", "kserve", "kubernetes", "great_expectations", "ts", "yaml"),
}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["serve", "--help"], ["runs", "--help"]])
def test_help_loads_no_library(arguments: list[str]) -> None:
    script = (
        "import json, sys\nfrom shortlist.cli.main import main\nsys.argv = ['shortlist', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(json.loads(ended.stdout.splitlines()[-1]))
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_loopback_is_never_asked_through_a_proxy() -> None:
    given = {"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "example.org, localhost"}
    bypass_proxies(given)
    assert given["no_proxy"] == given["NO_PROXY"] == "example.org,localhost,127.0.0.1,::1"
    for untouched in ({}, {"http_proxy": "http://proxy:3128", "no_proxy": "*"}):
        before = dict(untouched)
        bypass_proxies(untouched)
        assert untouched == before


@pytest.mark.skipif(
    subprocess.run(["unshare", "--user", "--map-user=12345", "true"], capture_output=True, check=False).returncode != 0,
    reason="this machine does not give a user id of its own",
)
def test_a_user_id_without_a_name_and_a_home(tmp_path: Path) -> None:
    script = (
        "import getpass, json, os\nfrom pathlib import Path\n"
        "from shortlist.cli.machine import prepare_machine, user_name\n"
        "before = user_name()\nprepare_machine()\n"
        "home = Path.home()\n(home / 'file').touch()\n"
        "print(json.dumps([before, user_name(), getpass.getuser(), str(home), os.environ['XDG_CACHE_HOME']]))"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", str(Path.cwd()))}
    ended = subprocess.run(
        ["unshare", "--user", "--map-user=12345", sys.executable, "-c", script],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    before, after, as_torch_asks, home, cache = json.loads(ended.stdout)
    assert before == after == as_torch_asks == "uid-12345"
    assert home.startswith(str(tmp_path))
    assert cache.startswith(home)
    assert list(tmp_path.iterdir()) == [], "nothing is left of it"


def test_a_home_that_can_be_written_stays_as_it_is(tmp_path: Path) -> None:
    given = {"HOME": str(tmp_path)}
    prepare_machine(given)
    assert given.keys() == {"HOME", "LOGNAME"}
    assert given["HOME"] == str(tmp_path)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_command_with_a_shell_s_code(number: signal.Signals, code: int) -> None:
    script = (
        "import time\nfrom shortlist.cli import main\n"
        "def wait():\n    try:\n"
        "        print('waiting', flush=True)\n        time.sleep(60)\n    finally:\n        print('ended')\n"
        "main.app = wait\nmain.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "waiting\n"
        one.send_signal(number)
        said, problem = one.communicate(timeout=30)
    assert (one.returncode, said) == (code, "ended\n")
    assert problem == f"ended by {number.name}\n"


@pytest.mark.parametrize(
    ("config", "context"), [(None, None), (None, "kind"), ("nowhere", None), ("broken", "kind"), ("empty", None)]
)
def test_deploy_without_a_kubeconfig_says_so(tmp_path: Path, config: str | None, context: str | None) -> None:
    outside = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in outside} | {"HOME": str(tmp_path)}
    (tmp_path / "broken").write_text("{")
    (tmp_path / "empty").write_text("")
    place = "~/.kube/config"
    if config is not None:
        environment["KUBECONFIG"] = place = str(tmp_path / config)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "shortlist.cli", "deploy", "0123456789abcdef"),
            *(["--context", context] if context else []),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"cannot connect to a cluster: the kubeconfig {place} cannot be used: ")
    assert "Traceback" not in ended.stderr
