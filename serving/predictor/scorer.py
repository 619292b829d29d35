"""Scores request bodies, each with the release that it names.

A body is a ranking request in its binary form, with a float32 npy [E, K] as reply, or for use with curl

    {"user_id": 7, "history": [17, 4], "context": {}, "candidates": [1, 2, 3]}

with the reply `{"release": ..., "scores": [{"item_id": 1, "score": 0.5}, ...]}`. All keys except `candidates` are
optional; without `release`, the first release is used.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.answer.encode import encode, objectives_of, written
from shortlist.answer.query import Id
from shortlist.answer.refusal import BadRequestError, not_json
from shortlist.answer.release import Release
from shortlist.ranking.ranker import Ranker
from shortlist.recommend.request import RankingRequest
from shortlist.retrieval.onnx_query_tower import OnnxQueryTower

_CONFLICT = 409
_BAD_REQUEST = 400


@dataclass(frozen=True)
class Reply:
    """The reply to one body."""

    status: int
    content_type: str
    body: bytes


class LoadedRelease:
    """The models of one release; item features are stored here, and a request has only item rows."""

    def __init__(self, release: Release, device: str) -> None:
        self.release = release
        retrieval = release.folder / "retrieval"
        self.ranker = Ranker.open(release.folder / "ranking", retrieval, release.store)
        self.ranker.model.to(device)
        self.tower = OnnxQueryTower.open(retrieval, release.store)
        self.vectors = np.asarray(np.load(retrieval / "vectors.npy", mmap_mode="r", allow_pickle=False))

    @classmethod
    def open(cls, folder: Path, device: str) -> "LoadedRelease":
        """Raises ValueError when the release is broken or has no ranker."""
        release = Release.open(folder)
        if not release.ranks:
            raise ValueError(f"{folder}: release {release.name} has no ranker, so that there is no model to serve")
        return cls(release, device)


@dataclass(frozen=True)
class ScoringTask:
    """A parsed body."""

    loaded: LoadedRelease
    request: RankingRequest
    ids: list[Id] | None = None
    """The candidates of a JSON body, in the form of the reply; None for the binary form."""


class Scorer:
    """Scores with one or more releases, since both are used while transformers are rolled out."""

    def __init__(self, loaded: Sequence[LoadedRelease]) -> None:
        self._loaded = {one.release.name: one for one in loaded}
        self._first = loaded[0]

    @classmethod
    def open(cls, folders: Sequence[Path], device: str = "cpu") -> "Scorer":
        """Open releases; the first one is the default. `device` is that of torch. Raises ValueError."""
        return cls([LoadedRelease.open(folder, device) for folder in folders])

    def score(self, bodies: Sequence[Any]) -> list[Reply]:
        """One reply per body, in order; an error in one body does not affect the others."""
        replies: list[Reply | None] = [None] * len(bodies)
        tasks: dict[int, ScoringTask] = {}
        for i, body in enumerate(bodies):
            try:
                tasks[i] = self._read(body)
            except BadRequestError as error:
                replies[i] = _refusal(error)
            except ValueError as error:
                replies[i] = _refusal(BadRequestError(str(error)))
        for loaded in self._loaded.values():
            requests = {i: one.request for i, one in tasks.items() if one.loaded is loaded}
            for i, scores in _score(loaded.ranker, requests).items():
                replies[i] = _reply(tasks[i], scores)
        assert all(replies)
        return [reply for reply in replies if reply is not None]

    def _read(self, body: Any) -> ScoringTask:
        given = _json(body)
        if given is not None:
            loaded = self._for(given["release"]) if "release" in given else self._first
            return _encode(loaded, given)
        if not isinstance(body, bytes | bytearray):
            raise BadRequestError(
                "there is no body; send a ranking request, or JSON with candidates as Content-Type: application/json"
            )
        request, release = RankingRequest.from_bytes(body)
        return ScoringTask(self._for(release), request)

    def _for(self, release: Any) -> LoadedRelease:
        found = self._loaded.get(release) if isinstance(release, str) else None
        if found is None:
            raise BadRequestError(
                f"the request is for release {str(release)[:80]}, this predictor serves "
                f"release {' and '.join(self._loaded)}; roll out transformer and predictor of one release",
                _CONFLICT,
            )
        return found


def _encode(loaded: LoadedRelease, given: dict[str, Any]) -> ScoringTask:
    """The ranking request of a JSON body, as the transformer would send it for these candidates."""
    store, reader = loaded.release.store, loaded.release.reader
    rest = {key: value for key, value in given.items() if key not in ("candidates", "release")}
    candidates = given.get("candidates")
    if not isinstance(candidates, list) or not candidates:
        raise BadRequestError("candidates is missing; send a list of item ids, like [1, 2, 3]")
    query = reader.query(rest, "the body")
    # The ids of candidates are checked like the ids of a history.
    listed = reader.query({"history": candidates}, "candidates")
    rows_EK = store.items.rows(candidates)[None, :]
    if not rows_EK.all():
        raise BadRequestError(f"candidates: this release does not know {candidates[int(np.argmin(rows_EK))]!r}")
    encoded = encode(store, [query])
    vector_ED = loaded.tower.embed(encoded.inputs)
    scores_EK = (loaded.vectors[rows_EK[0] - 1] @ vector_ED[0])[None, :]
    objective_EO = objectives_of(loaded.release.recipe, [query])
    request = RankingRequest.of(
        encoded.inputs,
        vector_ED,
        rows_EK,
        scores_EK.astype(np.float32),
        objective_EO=objective_EO,
        time_E=encoded.time_E,
    )
    ids = written(store, store.items.values(rows_EK[0]), replace(query, history=listed.history))
    return ScoringTask(loaded, request, ids)


def _score(ranker: Ranker, by_place: dict[int, RankingRequest]) -> dict[int, NDArray[np.float32] | ValueError]:
    if not by_place:
        return {}
    requests = list(by_place.values())
    try:
        scores = ranker.score(requests[0] if len(requests) == 1 else RankingRequest.stack(requests))
    except ValueError as error:
        if len(by_place) == 1:
            return dict.fromkeys(by_place, error)
        return {at: found for i, one in by_place.items() for at, found in _score(ranker, {i: one}).items()}
    ends = np.cumsum([len(one.candidates_EK) for one in by_place.values()]).tolist()
    parts = zip(by_place.items(), [0, *ends], ends, strict=False)
    return {i: scores[start:end, : one.candidates_EK.shape[1]] for (i, one), start, end in parts}


def _reply(task: ScoringTask, scores: NDArray[np.float32] | ValueError) -> Reply:
    if isinstance(scores, ValueError):
        return _refusal(BadRequestError(str(scores)))
    if task.ids is None:
        out = io.BytesIO()
        np.save(out, np.ascontiguousarray(scores))
        return Reply(200, "application/octet-stream", out.getvalue())
    listed = [{"item_id": item, "score": score} for item, score in zip(task.ids, scores[0].tolist(), strict=True)]
    content = {"release": task.loaded.release.name, "scores": listed}
    return Reply(200, "application/json", json.dumps(content).encode())


def _json(body: Any) -> dict[str, Any] | None:
    """The object of a JSON body, which may be decoded already; None for another body."""
    if isinstance(body, dict):
        return body
    text = body.encode() if isinstance(body, str) else body
    if not isinstance(text, bytes | bytearray) or text.lstrip()[:1] != b"{":
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise not_json(bytes(text), str(error), "the body") from None
    assert isinstance(found, dict)
    return found


def _refusal(error: BadRequestError) -> Reply:
    return Reply(error.status, "application/json", json.dumps({"error": str(error)}).encode())
