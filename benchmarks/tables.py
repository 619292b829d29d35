"""Memory of embedding tables with their optimiser, and time of the export, at the full size of music-windows.

    python -m benchmarks.tables [--items 877168] [--albums 3367691] [--artists 1293394] [--users 9238]

The towers are those of recipes/music-windows.yaml with weights as they start, and random items: neither bytes nor times
depend on what is learnt.
"""

import argparse
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from shortlist.features import CategoricalField, FeatureSchema, NumericField, TableSchema
from shortlist.recipe import Categorical, Recipe, Tables, load_recipe
from shortlist.retrieval.export import write_items
from shortlist.retrieval.towers import Inputs, Items, TwoTower
from shortlist.training.optimiser import Optimiser

_RECIPE = Path("recipes/music-windows.yaml")
_ROWS_PER_STEP = 20_000
_STEPS = 5
_MB = 1e6


class RandomInputs:
    """The inputs of random items: what `Inputs` reads from a store."""

    def __init__(self, schema: FeatureSchema) -> None:
        self.store = SimpleNamespace(schema=schema)
        self._schema, self._rng = schema, np.random.default_rng(0)

    def items(self, rows_N: NDArray[np.int64], device: torch.device) -> Items:  # noqa: ARG002
        count = len(rows_N)
        rows = {f.name: self._rng.integers(0, f.num_rows, (count, f.max_values)) for f in self._schema.item.categorical}
        return Items(
            torch.from_numpy(rows_N),
            {name: torch.from_numpy(one) for name, one in rows.items()},
            torch.randn(count, self._schema.item.numeric_dim),
            torch.ones(count),
            torch.from_numpy(self._rng.integers(0, 1 << 62, count)),
        )


def schema_of(recipe: Recipe, items: int, users: int, categories: dict[str, int]) -> FeatureSchema:
    def field(one: Categorical) -> CategoricalField:
        return CategoricalField(
            name=one.name, num_rows=categories[one.name] + 1, dim=one.dim, max_values=one.max_values
        )

    return FeatureSchema(
        num_item_rows=items + 1,
        num_user_rows=users + 1,
        history_length=recipe.features.history_length,
        item=TableSchema(
            categorical=[field(one) for one in recipe.features.item.categorical],
            numeric=[NumericField(name=name, mean=0.0, std=1.0) for name in recipe.features.item.numeric],
        ),
        user=TableSchema(),
        context=TableSchema(),
        clock=recipe.features.context.clock,
    )


def step_of(model: TwoTower, inputs: RandomInputs, optimiser: Optimiser, num_rows: int) -> float:
    """Seconds of a step of the optimiser, without the forward and backward pass."""
    rows = np.random.default_rng(1).integers(1, num_rows, _ROWS_PER_STEP)
    model.candidate(model.items(inputs.items(rows, torch.device("cpu")))).square().sum().backward()
    start = time.perf_counter()
    optimiser.step(1e-3)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, count in (("items", 877_168), ("albums", 3_367_691), ("artists", 1_293_394), ("users", 9_238)):
        parser.add_argument(f"--{name}", type=int, default=count)
    given = parser.parse_args()
    recipe = load_recipe(_RECIPE)
    schema = schema_of(recipe, given.items, given.users, {"album_id": given.albums, "artist_id": given.artists})
    model, inputs = TwoTower(schema, recipe.features, recipe.retrieval), RandomInputs(schema)
    long = {id(m.weight): m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding) and m.sparse}
    weights = sum(weight.numel() for weight in long.values()) * 4
    rows = sum(len(weight) for weight in long.values())
    print(f"{rows:,} rows in {len(long)} long tables, {weights / _MB:,.0f} MB of weights")
    for kind in ("adam", "rowwise_adagrad"):
        optimiser = Optimiser(model, 1e-3, 0.0, 1.0, tables=Tables.model_validate({"optimiser": kind}))
        seconds = [step_of(model, inputs, optimiser, given.items) for _ in range(_STEPS)]
        kept = optimiser.state()[-1]["state"].values()
        state = sum(t.numel() * t.element_size() for one in kept for t in one.values() if t.ndim)
        print(f"{kind:16} {state / _MB:8,.1f} MB of state   {1e3 * min(seconds):6.1f} ms a step")
    model.eval()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        start, spent = time.perf_counter(), time.process_time()
        write_items(model, cast(Inputs, inputs), Path(folder))
        start, spent = time.perf_counter() - start, time.process_time() - spent
    size, threads = f"{given.items:,} items, {recipe.retrieval.dim} wide", torch.get_num_threads()
    print(f"export of {size}: {start:.1f} s, {spent:.1f} s of processor time, {threads} thread(s)")


if __name__ == "__main__":
    main()
