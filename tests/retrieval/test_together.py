"""Two processes train as one does that has both their batches: by torchrun, on CPUs with gloo."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clean_tables import recipe, write_clean

from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import FOLDERS
from shortlist.recipe import Recipe, dump_recipe
from shortlist.training import checkpoints

SPARSE = Path(__file__).with_name("sparse_together.py")


def made_for(batch: int, epochs: int = 2, retrieval: str = "") -> Recipe:
    # Without dropout: chance differs between processes.
    training = f"{{batch_size: {batch}, epochs: {epochs}, learning_rate: 0.02, device: cpu, precision: float32}}"
    return recipe(
        features="{history_length: 6, item: {id_dim: 16}}",
        retrieval=f"{{dim: 16, hidden: [8], dropout: 0, id_dropout: 0, training: {training}, {retrieval}}}",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    events: dict[str, list[Any]] = {"user_id": [], "item_id": [], "time": []}
    for user in range(30):
        for time in np.sort(rng.choice(100, 12, replace=False)):
            events["user_id"].append(user)
            events["item_id"].append(int(rng.integers(20)))
            events["time"].append(int(time))
    made = tmp_path_factory.mktemp("together")
    prepare(made_for(8), write_clean(made / "clean", events), made / "prepared")
    return made / "prepared"


def train(folder: Path, work: Path, made: Recipe, processes: int, *module: str) -> dict[str, Any]:
    """What the first process told."""
    work.mkdir(exist_ok=True)
    (work / "recipe.yaml").write_text(dump_recipe(made))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    what = module or ("-m", "shortlist.retrieval.together")
    parts = [folder / part for part in FOLDERS]
    arguments = [str(path) for path in (work / "recipe.yaml", *parts, work / "towers", work / "result.json")]
    done = subprocess.run([*torchrun, *what, *arguments], capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads((work / "result.json").read_text())
    return result


@pytest.mark.parametrize(
    ("retrieval", "module"),
    [
        ("positions: every, encoder: transformer", ()),
        ("positions: last, encoder: attention", (str(SPARSE),)),
        ("positions: last, encoder: mean, negatives: {kind: full}", ()),
    ],
    ids=["windows", "sparse tables", "full softmax"],
)
def test_two_processes_have_the_loss_and_the_weights_of_one(
    folder: Path, tmp_path: Path, retrieval: str, module: tuple[str, ...]
) -> None:
    one = train(folder, tmp_path / "one", made_for(16, retrieval=retrieval), 1, *module)
    two = train(folder, tmp_path / "two", made_for(8, retrieval=retrieval), 2, *module)
    assert two["details"]["curves"]["loss"] == pytest.approx(one["details"]["curves"]["loss"], rel=1e-4)
    assert two["metrics"]["valid_ndcg_at_10"] == pytest.approx(one["metrics"]["valid_ndcg_at_10"], abs=0.02)
    ours, theirs = (checkpoints.best_weights(tmp_path / name / "towers") for name in ("two", "one"))
    for name, weight in theirs.items():
        torch.testing.assert_close(
            ours[name], weight, rtol=1e-2, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_two_processes_go_on_where_two_were_ended(folder: Path, tmp_path: Path) -> None:
    retrieval = "positions: last, encoder: mean"
    whole = train(folder, tmp_path / "whole", made_for(8, 3, retrieval), 2)
    # A finished training has no more steps: its checkpoint says so to both, and neither waits for the other.
    again = train(folder, tmp_path / "whole", made_for(8, 3, retrieval), 2)
    assert again["details"]["curves"] == whole["details"]["curves"]
