"""SiTunes: the area under the curve of rating >= 3, by the ranker alone: `python -m benchmarks.quality.situnes`.

The protocol is that of the data's authors: ten shipped splits (seeds 101 to 110) of three settings, the mean over the
seeds. Stage 1 has no context, so its ranker reads none. `--part valid` is what settings are chosen by; the epoch is
chosen on the shipped validation part of each split. The rows go where `--out` says, or are printed.
"""

import argparse
import gzip
import io
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch

from shortlist.data.ingest import ingest
from shortlist.data.validate.step import validate
from shortlist.dataset.prepare import prepare
from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TEST, VALID
from shortlist.ranking.network.configure import ranker_config
from shortlist.ranking.network.inputs import ItemTables
from shortlist.ranking.training.label_task import Labelled, LabelTask, auc
from shortlist.recipe import Recipe, load_recipe
from shortlist.recipe.model import ContextFeatures
from shortlist.training.fit import fit

SETTINGS = {"S1->S2": "setting1", "S2->S2": "setting2", "S2->S3": "setting3"}
SEEDS = range(101, 111)
RECIPE = Path(__file__).parents[2] / "recipes/bench/situnes.yaml"
Part = Literal["valid", "test"]


def read_split(folder: Path) -> pl.DataFrame:
    """The events of one shipped split with their part; columns that a file lacks are null."""
    tables = []
    for part in ("train", "valid", "test"):
        raw = gzip.decompress((folder / f"{folder.name}.{part}.inter.gz").read_bytes())
        head, _, rows = raw.decode().partition("\n")
        names: list[str] = []
        for column in head.split("\t"):
            name = column.partition(":")[0]
            # Stage 3 heads four columns with one name: valence, arousal, and both once more.
            names.append(name if name not in names else "emo_pre_arousal" if "emo_pre_arousal" not in names else "")
        table = pl.read_csv(io.StringIO(rows), separator="\t", has_header=False, infer_schema_length=None)
        kept = [(old, new) for old, new in zip(table.columns, names, strict=True) if new]
        tables.append(table.select(pl.col(old).alias(new) for old, new in kept).with_columns(part=pl.lit(part)))
    return pl.concat(tables, how="diagonal_relaxed")


def prepared_split(setting: str, seed: int, work: Path) -> tuple[Recipe, Prepared]:
    """The recipe for one shipped split, and what the product's own steps make of it; made once."""
    folder = work / f"{SETTINGS[setting]}-{seed}"
    os.environ["SITUNES_EVENTS"] = str(folder / "events.parquet")
    recipe = load_recipe(RECIPE).model_copy(update={"seed": seed})
    if setting == "S1->S2":
        features = recipe.features.model_copy(update={"context": ContextFeatures()})
        recipe = recipe.model_copy(update={"features": features})
    if not (folder / "prepared/queries/test").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        split = read_split(Path(os.environ["SHORTLIST_DATA"], "situnes/splits", folder.name))
        split.write_parquet(folder / "events.parquet")
        ingest(recipe, folder / "tables")
        validate(recipe, folder / "tables", folder / "clean", folder / "quarantine", folder / "docs")
        prepare(recipe, folder / "clean", folder / "prepared")
    return recipe, Prepared.open(folder / "prepared")


def measure(recipe: Recipe, prepared: Prepared, part: Part) -> float:
    """Train the product's ranker on the labels of one split; the area under the curve of a part."""
    tables = ItemTables(None, prepared.store)
    task = LabelTask(recipe, prepared, tables, ranker_config(recipe, prepared, tables, None))
    with tempfile.TemporaryDirectory() as folder:
        fit(task, recipe.ranking.training, Path(folder), seed=recipe.seed, label="situnes")
    events = Labelled.of(prepared, TEST if part == "test" else VALID, len(prepared.samples), recipe.seed)
    return auc(task.logits(events), events.labels)


def rows_of(setting: str, values: list[float], seeds: list[int], part: Part) -> dict[str, Any]:
    """A row of docs/figures/quality.json."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    return {
        "data": "situnes",
        "protocol": f"SiTunes {setting}, shipped splits, rating >= 3" + ("" if part == "test" else ", validation"),
        "model": "shortlist-ranker",
        "metric": "auc",
        "mean": round(float(np.mean(values)), 6),
        "deviation": round(float(np.std(values, ddof=1)), 6) if len(values) > 1 else 0.0,
        "seeds": seeds,
        "command": "python -m benchmarks.quality.situnes",
        "commit": commit.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--part", choices=("valid", "test"), default="test")
    parser.add_argument("--work", type=Path, default=Path(".work/quality/situnes"))
    parser.add_argument("--out", type=Path, help="a JSON file of rows; rows of the same protocol are replaced")
    given = parser.parse_args()
    os.environ.setdefault("SHORTLIST_DATA", "../shared/data")
    torch.set_num_threads(1)
    found = []
    for setting in given.settings:
        values = [measure(*prepared_split(setting, seed, given.work), given.part) for seed in given.seeds]
        found.append(rows_of(setting, values, given.seeds, given.part))
    if given.out is None:
        print("\n".join(json.dumps(row) for row in found))
        return
    kept = json.loads(given.out.read_text()) if given.out.exists() else []
    told = {(row["data"], row["protocol"]) for row in found}
    rows = [row for row in kept if (row["data"], row["protocol"]) not in told or row["model"] != "shortlist-ranker"]
    given.out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows + found) + "\n]\n")


if __name__ == "__main__":
    main()
