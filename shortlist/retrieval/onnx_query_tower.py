"""The exported query tower in ONNX Runtime, without torch, as in serving.

Shapes: E queries, L history length, D vector dim.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from shortlist.features import FeatureStore, Queries

_EMBED_FLOATS = 4_000_000  # history inputs in one run of the tower: 16 MB
_BROKEN_MODEL = (runtime.Fail, runtime.InvalidArgument, runtime.InvalidGraph, runtime.InvalidProtobuf)


class OnnxQueryTower:
    """The exported tower and the item inputs that it shares with the candidates."""

    def __init__(self, session: Any, metric: str, dim: int, item_inputs: Any, user_inputs: Any) -> None:
        self.metric = metric
        self.dim = dim
        self._session = session
        self._item_inputs = item_inputs
        self._user_inputs = user_inputs
        self._inputs = [given.name for given in session.get_inputs()]

    @classmethod
    def open(cls, folder: Path, store: FeatureStore, *, threads: int = 1) -> "OnnxQueryTower":
        """Raises ValueError when a file is missing or broken, or the store lacks an input of the tower."""
        try:
            settings = json.loads((folder / "retrieval.json").read_text())
            metric, dim = str(settings["metric"]), int(settings["dim"])
            item_inputs = map_array(folder / "item_inputs.npy")
            user_inputs = map_array(folder / "user_inputs.npy") if (folder / "user_inputs.npy").exists() else None
            session = _session(folder / "query_tower.onnx", threads)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{folder}: the exported query tower cannot be read: {type(error).__name__}: {error}"
            ) from error
        fields = {name.replace(".", "_") for name in store.schema.query_fields}
        known = {"history", "length", "user", "numeric"} | fields
        wanted = {given.name for given in session.get_inputs()}
        if not wanted <= known or ("user" in wanted) != (user_inputs is not None):
            raise ValueError(f"{folder}: the tower needs {sorted(wanted)}, but the features have {sorted(known)}")
        if len(item_inputs) != store.schema.num_item_rows:
            raise ValueError(
                f"{folder}: item_inputs.npy has {len(item_inputs)} rows, but the features have "
                f"{store.schema.num_item_rows}"
            )
        return cls(session, metric, dim, item_inputs, user_inputs)

    def embed(self, queries: Queries) -> NDArray[np.float32]:
        """The query vectors, [E, D]; of length 1 where the metric is cosine."""
        count, width = len(queries.user_E), queries.history_BL.shape[1]
        size = max(1, _EMBED_FLOATS // (width * self._item_inputs.shape[1]))
        if count <= size:
            return self._run(queries, slice(None))
        return np.concatenate([self._run(queries, slice(start, start + size)) for start in range(0, count, size)])

    def _run(self, queries: Queries, part: slice) -> NDArray[np.float32]:
        length_E = queries.prefix_E[part]
        history_EL = queries.history_BL[queries.window_E[part]]
        history_EL[np.arange(history_EL.shape[1]) >= length_E[:, None]] = 0  # events after the query
        values: dict[str, NDArray[Any]] = {"history": self._item_inputs[history_EL], "length": length_E}
        if self._user_inputs is not None:
            values["user"] = self._user_inputs[queries.user_E[part]]
        values["numeric"] = queries.numeric_EF[part]
        values |= {name.replace(".", "_"): rows[part] for name, rows in queries.categorical.items()}
        vectors: NDArray[np.float32] = self._session.run(None, {name: values[name] for name in self._inputs})[0]
        return vectors


def map_array(path: Path) -> NDArray[np.float32]:
    """Memory-map an array. Raises ValueError when the file is empty or not an array."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except EOFError as error:  # numpy raises it for an empty file
        raise ValueError(f"{path.name} is empty") from error


def _session(path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except _BROKEN_MODEL as error:
        raise ValueError(str(error)) from error
