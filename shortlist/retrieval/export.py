"""Exports the towers to files that serving reads without torch.

    query_tower.onnx   history f32 [B, L, D], length i64 [B], user f32 [B, U] if users have ids, i64 [B, W] for each
                       categorical field of a query, numeric f32 [B, F] if there are numbers -> vectors f32 [B, D]
    item_inputs.npy    f32 [num_item_rows, D]; row 0 is the unknown item
    user_inputs.npy    f32 [num_user_rows, U], if users have ids; row 0 is the unknown user, whose vector is also that
                       of users that were not trained on
    vectors.npy        f32 [num_items, D]: position p is item row p + 1; includes items that were not trained on
    known.npy          bool [num_item_rows]: the items known to the towers (candidates.py)
    retrieval.json     metric, dim, inputs (their names), history_length

Shapes: B queries, L history length, U user width, W values of a field, F numbers, N item rows, D width of vectors and
item inputs.
The tables of items and users stay outside the graph (docs/decisions/query-tower-export.md). Equal weights give equal
bytes, so that a release has the same name wherever it is made.
"""

import contextlib
import io
import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shortlist.dataset.prepared import Prepared
from shortlist.features import FeatureSchema, Queries
from shortlist.progress import Progress, say
from shortlist.recipe import Recipe
from shortlist.retrieval.candidates import KNOWN
from shortlist.retrieval.refit import REFIT
from shortlist.retrieval.shared_vectors import shared
from shortlist.retrieval.tables import slot
from shortlist.retrieval.towers import Inputs, QueryInputs, QueryTower, Trained, TwoTower
from shortlist.step_result import StepResult
from shortlist.training import checkpoints

_OPSET = 20
_TOLERANCE = 1e-4
_QUERIES = 64
_ROWS = 16_384
"""Items embedded per block."""


def export_all(recipe: Recipe, prepared: Prepared, checkpoint: Path, out: Path, out_before_refit: Path) -> StepResult:
    """`export` to `out`, and the towers of the best epoch to `out_before_refit` if the recipe has a refit.

    Without a refit, `out_before_refit` is an empty folder, since the towers of the best epoch are the served ones.
    """
    out_before_refit.mkdir(parents=True, exist_ok=True)
    if recipe.retrieval.refit.epochs:
        with _draft(out_before_refit) as draft:
            inputs = Inputs(prepared.store, hashes_ids=recipe.features.item.hashes_unknown)
            _write(_trained(recipe, prepared, checkpoint), inputs, prepared, draft)
    return export(recipe, prepared, checkpoint, out)


def export(recipe: Recipe, prepared: Prepared, checkpoint: Path, out: Path) -> StepResult:
    """Export the served towers to `out`: those of the best epoch, or of the refit if the recipe has one.

    Reads no samples. Raises ValueError when the weights are not of this recipe and data, or when the vectors of the
    exported tower for real queries differ from torch by more than 1e-4.
    """
    refit = checkpoint / REFIT if recipe.retrieval.refit.epochs else None
    model = _trained(recipe, prepared, refit or checkpoint)
    trained = Trained.open(refit) if refit else None
    inputs = Inputs(prepared.store, trained, hashes_ids=recipe.features.item.hashes_unknown)
    with _draft(out) as draft:
        names, difference = _write(model, inputs, prepared, draft)
    unknown = int((~np.load(out / KNOWN)[1:]).sum())
    if unknown:
        say(
            f"export: {unknown:,} of {len(inputs.item_row) - 1:,} items have no train positive and no feature, so the "
            "towers do not retrieve them; name features in features.item, or train on the last days too "
            "(retrieval.refit)"
        )
    vectors_ND, untrained = np.load(out / "vectors.npy", mmap_mode="r"), inputs.item_row[1:] == 0
    return StepResult(
        rows_out={
            "items": len(untrained),
            "items_never_trained": int(untrained.sum()),
            "items_without_features": int((~prepared.store.described()[1:]).sum()),
            "items_unknown_to_towers": unknown,
            "items_of_a_shared_vector": int(shared(vectors_ND).sum()),
        },
        metrics={
            "largest_difference": difference,
            "query_tower_mb": round((out / "query_tower.onnx").stat().st_size / 2**20, 3),
        },
        details={"inputs": names, "dim": model.dim, "metric": model.metric},
    )


@contextlib.contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A folder next to `out` that replaces it at the end of the block."""
    draft = out.with_name(f"{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    yield draft
    shutil.rmtree(out, ignore_errors=True)
    draft.rename(out)


def _write(model: TwoTower, inputs: Inputs, prepared: Prepared, folder: Path) -> tuple[list[str], float]:
    """Write a pair of towers; returns the names of the graph's inputs and the largest difference from torch."""
    schema = prepared.store.schema
    with torch.no_grad():
        write_items(model, inputs, folder)
        np.save(folder / KNOWN, inputs.known())
        if model.users is not None:
            np.save(folder / "user_inputs.npy", model.users.weight.numpy()[inputs.user_row])
        names = write_query_tower(model, schema, folder / "query_tower.onnx")
        difference = check_parity(model, inputs, prepared, folder)
    settings = {"metric": model.metric, "dim": model.dim, "inputs": names, "history_length": schema.history_length}
    (folder / "retrieval.json").write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n")
    return names, difference


def _trained(recipe: Recipe, prepared: Prepared, checkpoint: Path) -> TwoTower:
    model = TwoTower(prepared.store.schema, recipe.features, recipe.retrieval).eval()
    try:
        model.load_state_dict(checkpoints.best_weights(checkpoint))
    except RuntimeError as error:
        raise ValueError(
            f"{checkpoint}: these weights are not of this recipe and data; train again ({error})"
        ) from None
    return model


def write_items(model: TwoTower, inputs: Inputs, folder: Path) -> None:
    """Write the inputs of every row and the vectors of every item in blocks. Raises ValueError for NaN or infinity."""
    count = inputs.store.schema.num_item_rows
    rows_ND = np.lib.format.open_memmap(folder / "item_inputs.npy", "w+", np.float32, (count, model.dim))
    vectors_ND = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (count - 1, model.dim))
    bar = Progress("export items", count)
    for first in range(0, count, _ROWS):
        rows = np.arange(first, min(first + _ROWS, count))
        input_ND = model.items(inputs.items(rows, torch.device("cpu")))
        vector_ND = model.candidate(input_ND)
        wrong = (~(input_ND.isfinite().all(1) & vector_ND.isfinite().all(1))).nonzero()[:, 0]
        if len(wrong):
            item = inputs.store.items.values(rows[wrong[:1].numpy()])[0]
            raise ValueError(f"the vector of item {item!r} is not finite; check its numeric features and its embedding")
        rows_ND[rows] = input_ND.numpy()
        vectors_ND[np.maximum(rows, 1) - 1] = vector_ND.numpy()  # row 0 first, then overwritten by row 1
        bar.advance(len(rows))
    rows_ND.flush()
    vectors_ND.flush()


class _Served(nn.Module):
    """The query tower over named inputs."""

    tower: QueryTower
    fields: list[str]

    def __init__(self, tower: QueryTower, fields: list[str]) -> None:
        super().__init__()
        self.tower, self.fields = tower, fields

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        length_B = inputs["length"]
        categorical = {name: inputs[slot(name)] for name in self.fields}
        query = QueryInputs(None, length_B, length_B, categorical, inputs.get("numeric", length_B[:, None]))
        return self.tower.forward(inputs["history"], query, inputs.get("user"))


def write_query_tower(model: TwoTower, schema: FeatureSchema, path: Path) -> list[str]:
    """Write the graph; returns the names of its inputs."""
    inputs = {"history": torch.zeros(2, schema.history_length, model.dim), "length": torch.tensor([1, 2])}
    if model.users is not None:
        inputs["user"] = torch.zeros(2, model.users.embedding_dim)
    for name, one in schema.query_fields.items():
        inputs[slot(name)] = torch.zeros(2, one.max_values, dtype=torch.int64)
    if schema.query_numeric_dim:
        inputs["numeric"] = torch.zeros(2, schema.query_numeric_dim)
    batch = torch.export.Dim("batch", min=1, max=2**20)
    say("export query tower")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _only_errors("torch.onnx"):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Served(model.query, list(schema.query_fields)),
            kwargs={"inputs": inputs},
            input_names=list(inputs),
            output_names=["vectors"],
            opset_version=_OPSET,
            dynamo=True,
            dynamic_shapes={"inputs": {name: {0: batch} for name in inputs}},
        )
    assert program is not None
    proto = program.model_proto
    _strip(proto)
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return list(inputs)


@contextlib.contextmanager
def _only_errors(name: str) -> Iterator[None]:
    """Log only errors: the exporter warns about every optional package that is missing."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _strip(model: onnx.ModelProto) -> None:
    """Remove data about the machine and the code that wrote the graph: stack traces, paths, documentation."""
    graphs = [model.graph]
    for message in (model, model.graph, *model.functions):
        message.ClearField("metadata_props")
        message.ClearField("doc_string")
    while graphs:
        graph = graphs.pop()
        for one in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            one.ClearField("metadata_props")
            one.ClearField("doc_string")
        graphs += [a.g for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]


def check_parity(model: TwoTower, inputs: Inputs, prepared: Prepared, folder: Path) -> float:
    """The largest difference from torch over real queries with empty, short and full histories.

    Raises ValueError when it is above 1e-4.
    """
    queries = probes(prepared)
    query = inputs.query(queries, torch.device("cpu"))
    item_inputs = np.load(folder / "item_inputs.npy", mmap_mode="r")
    history = item_inputs[queries.history_BL]
    users = None if model.users is None else model.users(query.user_E)
    wanted = model.query(torch.from_numpy(history), query, users).numpy()
    values = {"history": history, "length": queries.prefix_E, "numeric": queries.numeric_EF}
    values |= {slot(name): rows for name, rows in queries.categorical.items()}
    if model.users is not None:
        values["user"] = np.load(folder / "user_inputs.npy", mmap_mode="r")[queries.user_E]
    session = onnxruntime.InferenceSession(
        (folder / "query_tower.onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    got: NDArray[np.float32] = session.run(None, {one.name: values[one.name] for one in session.get_inputs()})[0]
    difference = float(np.abs(got - wanted).max())
    scale = max(1.0, float(np.abs(wanted).max()))
    if not difference <= _TOLERANCE * scale:
        raise ValueError(
            f"the exported query tower differs from torch by {difference:.2g}, which is more than the tolerance "
            f"{_TOLERANCE * scale:g}; try another version of onnxruntime, or lower retrieval.training.learning_rate"
        )
    return difference


def probes(prepared: Prepared) -> Queries:
    """Validation queries with their histories cut to no event, one event, half a window, a window and not at all."""
    queries = prepared.valid.take(np.arange(min(_QUERIES, len(prepared.valid))))
    length = prepared.store.schema.history_length
    most = queries.end - queries.start
    cuts = [np.minimum(most, cut) for cut in (0, 1, max(length // 2, 1), length)] + [most]
    four = np.tile(np.arange(len(queries)), len(cuts))
    all_cuts = np.concatenate(cuts)
    start = queries.start[four]
    return prepared.store.queries(
        queries.user[four],
        prepared.store.history_items,
        start,
        start + all_cuts,
        queries.context.take(four),
    )
