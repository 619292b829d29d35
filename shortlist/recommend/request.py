"""The request to the ranker, and its binary encoding between the transformer and the predictor.

Shapes: O objectives, E queries, K candidates each, L history length, W values of a categorical field, F numbers, D
width of the query vector. Rows are item and user rows of the feature store. This module does not need torch.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save

from shortlist.features import Queries

_CATEGORICAL = "categorical."
_ROWS = ("history", "length", "user", "candidates")
_NUMBERS = ("numeric", "query_vector", "retrieval_scores")
_OPTIONAL = ("source_scores", "objective", "history_age")
"""Numbers that only some releases read."""
_NUM_AXES = {
    "history": 2,
    "length": 1,
    "user": 1,
    "numeric": 2,
    "query_vector": 2,
    "candidates": 2,
    "retrieval_scores": 2,
    "source_scores": 3,
    "objective": 2,
    "history_age": 2,
}


@dataclass(frozen=True)
class RankingRequest:
    """E queries with K candidates each. Raises ValueError when the shapes of the arrays do not match."""

    history_EL: NDArray[np.int64]
    """Item rows in time order, left-aligned; 0 from `length_E` on."""
    length_E: NDArray[np.int64]
    user_E: NDArray[np.int64]
    categorical: dict[str, NDArray[np.int64]]
    """Qualified name -> [E, W] rows."""
    numeric_EF: NDArray[np.float32]
    query_vector_ED: NDArray[np.float32]
    """The query vectors of retrieval."""
    candidates_EK: NDArray[np.int64]
    """Item rows; 0 is padding, at the end."""
    retrieval_scores_EK: NDArray[np.float32]
    """In the unit of the index; not read where the candidate is padding."""
    source_scores_EKS: NDArray[np.float32] | None = None
    """The score of each of S blended sources in its own unit; -inf where it did not find the candidate. None for
    candidates of the towers alone."""
    objective_EO: NDArray[np.float32] | None = None
    """The weights of the objectives, `positive` first; None for a release without labels, or for its own weights."""
    history_age_EL: NDArray[np.float32] | None = None
    """Days from each event to the query, 0 from `length_E` on; None for a release that reads no times."""

    def __post_init__(self) -> None:
        arrays = self._arrays()
        for name, array in arrays.items():
            num_axes = _NUM_AXES.get(name, 2)
            if array.ndim != num_axes or len(array) != len(self.candidates_EK):
                raise ValueError(
                    f"ranking request: {name} has shape {list(array.shape)}; it needs {num_axes} axes, "
                    f"the first of length {len(self.candidates_EK)} as for candidates"
                )
        if self.retrieval_scores_EK.shape != self.candidates_EK.shape:
            raise ValueError(
                f"ranking request: {list(self.retrieval_scores_EK.shape)} retrieval_scores "
                f"for {list(self.candidates_EK.shape)} candidates; there must be one for each"
            )
        sources = self.source_scores_EKS
        if sources is not None and sources.shape[:2] != self.candidates_EK.shape:
            raise ValueError(
                f"ranking request: {list(sources.shape)} source_scores for {list(self.candidates_EK.shape)} "
                "candidates; the first two axes must be the same"
            )
        ages = self.history_age_EL
        if ages is not None and ages.shape != self.history_EL.shape:
            raise ValueError(
                f"ranking request: {list(ages.shape)} history_age for {list(self.history_EL.shape)} history; "
                "there must be one for each event"
            )
        if ((self.length_E < 0) | (self.length_E > self.history_EL.shape[1])).any():
            raise ValueError(f"ranking request: length must be 0 to {self.history_EL.shape[1]}, the width of history")

    @classmethod
    def of(
        cls,
        queries: Queries,
        query_vector_ED: NDArray[np.float32],
        candidates_EK: NDArray[np.int64],
        retrieval_scores_EK: NDArray[np.float32],
        source_scores_EKS: NDArray[np.float32] | None = None,
        objective_EO: NDArray[np.float32] | None = None,
        *,
        time_E: NDArray[np.int64],
    ) -> "RankingRequest":
        """The given queries, at `time_E` in seconds since the epoch, with their candidates; events after a query's
        prefix are left out."""
        history = queries.history_BL[queries.window_E]
        before = np.arange(history.shape[1]) < queries.prefix_E[:, None]
        return cls(
            np.where(before, history, 0),
            queries.prefix_E,
            queries.user_E,
            queries.categorical,
            queries.numeric_EF,
            query_vector_ED,
            candidates_EK,
            retrieval_scores_EK,
            source_scores_EKS,
            objective_EO,
            queries.ages(time_E),
        )

    @classmethod
    def stack(cls, requests: Sequence["RankingRequest"]) -> "RankingRequest":
        """The queries of all requests in order, with the candidates padded to the widest request.

        The requests must be of one release. Raises ValueError when any other width differs.
        """
        width = max(request.candidates_EK.shape[1] for request in requests)
        widened = [request._widen(width)._arrays() for request in requests]
        for arrays in widened:
            for name in widened[0].keys() | arrays.keys():
                shapes = [one[name].shape[1:] if name in one else None for one in (widened[0], arrays)]
                if shapes[0] != shapes[1]:
                    raise ValueError(f"ranking requests of different releases: {name} is {shapes[0]} and {shapes[1]}")
        return cls._from_arrays({name: np.concatenate([one[name] for one in widened]) for name in widened[0]})

    def to_bytes(self, release: str) -> bytes:
        """A safetensors body: rows as int32, numbers as float32, the release's hash in the metadata."""
        tensors = {
            name: np.ascontiguousarray(array, np.float32 if name in (*_NUMBERS, *_OPTIONAL) else np.int32)
            for name, array in self._arrays().items()
        }
        return bytes(save(tensors, {"release": release}))

    @classmethod
    def from_bytes(cls, body: bytes | bytearray) -> tuple["RankingRequest", str]:
        """The request and its release's hash. Raises only ValueError, when the body is not a request."""
        try:
            # the stub leaves the argument untyped
            tensors = dict(safetensors.deserialize(bytes(body)))  # type: ignore[no-untyped-call]
            header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
        except (safetensors.SafetensorError, ValueError) as error:
            raise ValueError(f"ranking request: the body is not a safetensors file: {error}") from None
        release = (header.get("__metadata__") or {}).get("release")
        if not release:
            raise ValueError("ranking request: the metadata has no `release`")
        arrays = {name: _array(name, tensor) for name, tensor in tensors.items()}
        missing = [name for name in (*_ROWS, *_NUMBERS) if name not in arrays]
        unknown = [name for name in arrays if name not in _NUM_AXES and not name.startswith(_CATEGORICAL)]
        if missing or unknown:
            raise ValueError(f"ranking request: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}")
        request = cls._from_arrays(arrays)
        if not len(request.candidates_EK):
            raise ValueError("ranking request: it has no queries")
        finite = np.isfinite(request.retrieval_scores_EK) | (request.candidates_EK == 0)
        if not (finite.all() and np.isfinite(request.query_vector_ED).all() and np.isfinite(request.numeric_EF).all()):
            raise ValueError(f"ranking request: {', '.join(_NUMBERS)} must be finite")
        sources = request.source_scores_EKS
        if sources is not None and not (sources < np.inf).all():
            raise ValueError("ranking request: source_scores must be finite, or -inf where a source has no score")
        if request.objective_EO is not None and not np.isfinite(request.objective_EO).all():
            raise ValueError("ranking request: objective must be finite")
        ages = request.history_age_EL
        if ages is not None and not (np.isfinite(ages) & (ages >= 0)).all():
            raise ValueError("ranking request: history_age must be finite and at least 0")
        return request, str(release)

    def _widen(self, width: int) -> "RankingRequest":
        missing = width - self.candidates_EK.shape[1]
        if not missing:
            return self
        arrays = self._arrays()
        for name in ("candidates", "retrieval_scores", "source_scores"):
            if name in arrays:
                axes = ((0, 0), (0, missing), (0, 0))[: arrays[name].ndim]
                arrays[name] = np.pad(arrays[name], axes)
        return self._from_arrays(arrays)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Wire name -> array: the field name without its shape; categorical fields have the prefix `categorical.`."""
        plain = {_wire_name(f.name): getattr(self, f.name) for f in fields(self) if f.name != "categorical"}
        plain = {name: array for name, array in plain.items() if array is not None}
        return plain | {_CATEGORICAL + name: rows for name, rows in self.categorical.items()}

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> "RankingRequest":
        categorical = {n.removeprefix(_CATEGORICAL): a for n, a in arrays.items() if n.startswith(_CATEGORICAL)}
        plain: dict[str, Any] = {f.name: arrays.get(_wire_name(f.name)) for f in fields(cls) if f.name != "categorical"}
        return cls(**plain, categorical=categorical)


def _wire_name(field: str) -> str:
    return field.rpartition("_")[0]


def _array(name: str, tensor: dict[str, Any]) -> NDArray[Any]:
    wanted = "F32" if name in (*_NUMBERS, *_OPTIONAL) else "I32"
    if tensor["dtype"] != wanted:
        raise ValueError(f"ranking request: {name} has type {tensor['dtype']}, it must be {wanted}")
    flat = np.frombuffer(tensor["data"], np.float32 if wanted == "F32" else np.int32)
    array = flat.reshape(tensor["shape"])
    return array if wanted == "F32" else array.astype(np.int64)
