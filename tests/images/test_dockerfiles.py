"""What holds for the three Dockerfiles before anything is built."""

import re
from pathlib import Path

import pytest
from containers import ROOT

DOCKERFILES = [ROOT / name / "Dockerfile" for name in ("components", "serving/transformer", "serving/predictor")]
_PIN = re.compile(r"^([a-z][\w.-]*)==(\S+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(_PIN.findall((ROOT / f"requirements/{name}.txt").read_text()))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_each_is_pinned_hardened_and_free_of_probes(path: Path) -> None:
    text = path.read_text()
    (base,) = re.findall(r"^ARG BASE=(.*)$", text, re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)
    last = text[text.rindex("\nFROM ") :]
    assert "\nUSER 1000:1000\n" in last
    assert "HEALTHCHECK" not in text
    assert text.rstrip().endswith("COPY --from=code /opt/code /opt/venv"), "our code is the last layer"


def test_all_stand_on_one_base() -> None:
    assert len({re.findall(r"^ARG BASE=.*$", path.read_text(), re.MULTILINE)[0] for path in DOCKERFILES}) == 1


@pytest.mark.parametrize("image", ["predictor", "pipeline", "pipeline-gpu", "pipeline-tracking"])
def test_the_layer_of_torch_is_what_the_images_lock(image: str) -> None:
    """Its packages are left out of the image's own layer, by name: another version there would be lost."""
    assert pins("torch").items() <= pins(image).items()
    assert pins("torch")["torch"] == pins("dev")["torch"]


def test_a_pipeline_for_gpus_differs_in_faiss_alone() -> None:
    cpu, gpu = pins("pipeline"), pins("pipeline-gpu")
    assert cpu.keys() - gpu.keys() == {"faiss-cpu"}
    assert cpu.pop("faiss-cpu") == gpu.pop("faiss-gpu")
    assert all(name.startswith("nvidia-") for name in gpu.keys() - cpu.keys())
    assert cpu.items() <= gpu.items()


def test_only_who_asks_for_it_gets_the_client_of_mlflow() -> None:
    plain, tracking = pins("pipeline"), pins("pipeline-tracking")
    assert plain.items() <= tracking.items()
    assert {"mlflow-skinny", "sqlalchemy", "alembic"} <= tracking.keys() - plain.keys()
    assert not {"mlflow-skinny", "ray"} & (plain.keys() | pins("transformer").keys() | pins("predictor").keys())
