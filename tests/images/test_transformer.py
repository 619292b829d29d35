"""The transformer's image, built here from this checkout: what is in it, what is not, and that it answers."""

import json
from pathlib import Path

import pytest
from containers import ask, build, docker, inside, inspect, serving, stop

from benchmarks.made_release import make_release
from shortlist.serving.ports import free_ports

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def image() -> str:
    return build("transformer")


def test_it_is_small(image: str) -> None:
    assert inspect(image)["Size"] < 800e6


def test_it_runs_as_nobody_special_and_probes_belong_to_manifests(image: str) -> None:
    config = inspect(image)["Config"]
    assert config["User"] == "1000:1000"
    assert "Healthcheck" not in config
    assert "ORT_DISABLE_TELEMETRY=1" in config["Env"]


def test_it_says_what_it_is(image: str) -> None:
    labels = inspect(image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "shortlist transformer"
    assert labels["org.opencontainers.image.version"] == "0.1.0"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert len(labels["org.opencontainers.image.revision"]) == 40


@pytest.mark.parametrize("module", ["torch", "pyarrow", "polars", "kfp", "pip", "uv", "ensurepip"])
def test_it_has_nothing_that_answering_does_not_need(image: str, module: str) -> None:
    ended = inside(image, "python", "-c", f"import {module}")
    assert "ModuleNotFoundError" in ended.stderr, ended.stderr


def test_it_cannot_build(image: str) -> None:
    tools = "pip pip3 uv uvx gcc cc make"
    ended = inside(image, "sh", "-c", f"for tool in {tools}; do command -v $tool; done; ls -d /build /usr/lib/gcc")
    assert ended.stdout == ""


def test_its_list_of_parts_is_true(image: str) -> None:
    """The SBOM names every Python package that is there, with its version, and Debian's."""
    bom = json.loads(inside(image, "cat", "/opt/venv/sbom.cdx.json").stdout)
    listed = {(part["name"].lower().replace("_", "-"), part["version"]) for part in bom["components"]}
    program = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    installed: dict[str, str] = json.loads(inside(image, "python", "-c", program).stdout)
    assert installed.pop("shortlist") == "0.1.0"
    assert "faiss-cpu" in installed
    assert {(name.lower().replace("_", "-"), version) for name, version in installed.items()} <= listed
    assert bom["bomFormat"] == "CycloneDX"
    libc = inside(image, "dpkg-query", "-W", "-f", "${Version}", "libc6").stdout
    assert ("libc6", libc) in listed


def test_our_code_is_compiled(image: str) -> None:
    """A read-only file system keeps no bytecode, so that a start would compile everything again."""
    program = (
        "import pathlib, shortlist;"
        "print([str(file) for file in pathlib.Path(shortlist.__file__).parent.rglob('*.py')"
        " if not (file.parent / '__pycache__' / f'{file.stem}.cpython-311.pyc').exists()])"
    )
    assert inside(image, "python", "-c", program).stdout == "[]\n"


def test_it_answers_on_a_read_only_file_system_and_ends_when_told(image: str, tmp_path: Path) -> None:
    release = tmp_path / "release"
    make_release(release, num_items=700, num_users=40, ranks=False, text_ids=True)
    tmp_path.chmod(0o755)
    http_port, grpc_port = free_ports(2)
    arguments = ["--http_port", str(http_port), "--grpc_port", str(grpc_port), "--model_name", "mine"]
    with serving(image, release, arguments) as container:
        body = {"instances": [{"history": ["i1003", "i1004"], "k": 5}]}
        answer = ask(f"http://127.0.0.1:{http_port}/v1/models/mine:predict", body, container)
        assert len(answer["predictions"][0]["items"]) == 5
        assert stop(container) == 0
        assert docker("logs", container) == ""
