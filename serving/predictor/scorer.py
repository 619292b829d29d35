"""Bodies in, scores out, for one release.

A body is a ranking request in its binary form, answered by a float32 npy [E, K], or for people with curl

    {"user_id": 7, "history": [17, 4], "context": {}, "candidates": [1, 2, 3]}

answered by `{"release": ..., "scores": [{"item_id": 1, "score": 0.5}, ...]}`. All but `candidates` may be left out.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.queries import encode
from serving.question import BadRequestError, parse_question
from serving.release import Release
from shortlist.ranking.ranker import Ranker
from shortlist.ranking.request import RankingRequest
from shortlist.retrieval.retrieve import QueryTower

_CONFLICT = 409
_BAD_REQUEST = 400


@dataclass(frozen=True)
class Reply:
    """What goes back for one body."""

    status: int
    content_type: str
    body: bytes


class Scorer:
    """Ranks for one release; item features stay here, a request carries rows."""

    def __init__(self, release: Release) -> None:
        self._release = release
        retrieval = release.folder / "retrieval"
        self._ranker = Ranker.open(release.folder / "ranking", retrieval, release.store)
        self._tower = QueryTower.open(retrieval, release.store)
        self._vectors = np.asarray(np.load(retrieval / "vectors.npy", mmap_mode="r", allow_pickle=False))

    @classmethod
    def open(cls, folder: Path) -> "Scorer":
        """Raises ValueError when the release is broken or has no ranker."""
        release = Release.open(folder)
        if not release.ranks:
            raise ValueError(f"{folder}: release {release.name} has no ranker, so there is nothing to predict with")
        return cls(release)

    def answer(self, bodies: Sequence[Any]) -> list[Reply]:
        """One reply a body, in order; what is wrong with one body does not touch the others."""
        replies: list[Reply | None] = [None] * len(bodies)
        asked: dict[int, RankingRequest] = {}
        for i, body in enumerate(bodies):
            try:
                asked[i] = self._read(body)
            except BadRequestError as error:
                replies[i] = _refusal(error)
            except ValueError as error:
                replies[i] = _refusal(BadRequestError(str(error)))
        for i, scores in self._score(asked).items():
            replies[i] = self._reply(bodies[i], asked[i], scores)
        assert all(replies)
        return [reply for reply in replies if reply is not None]

    def _read(self, body: Any) -> RankingRequest:
        given = _json(body)
        if given is not None:
            return self._encode(given)
        if not isinstance(body, bytes | bytearray):
            raise BadRequestError(
                "there is no body; send a ranking request, or JSON with candidates as Content-Type: application/json"
            )
        request, release = RankingRequest.from_bytes(body)
        self._check_release(release)
        return request

    def _check_release(self, release: Any) -> None:
        if release != self._release.name:
            raise BadRequestError(
                f"the request is for release {str(release)[:80]}, this predictor serves release {self._release.name}; "
                "roll out transformer and predictor of one release",
                _CONFLICT,
            )

    def _encode(self, given: dict[str, Any]) -> RankingRequest:
        """The ranking request of a JSON body: what the transformer would have sent for these candidates."""
        store, serving = self._release.store, self._release.recipe.serving
        if "release" in given:
            self._check_release(given["release"])
        rest = {key: value for key, value in given.items() if key not in ("candidates", "release")}
        candidates = given.get("candidates")
        if not isinstance(candidates, list) or not candidates:
            raise BadRequestError("candidates is missing; send a list of item ids, like [1, 2, 3]")
        question = parse_question(rest, serving, store.schema, "the body")
        # The ids of candidates must hold what ids of a history must.
        parse_question({"history": candidates}, serving, store.schema, "candidates")
        rows_EK = store.items.rows(candidates)[None, :]
        if not rows_EK.all():
            raise BadRequestError(f"candidates: this release does not know {candidates[int(np.argmin(rows_EK))]!r}")
        queries = encode(store, [question]).queries
        vector_ED = self._tower.embed(queries)
        scores_EK = (self._vectors[rows_EK[0] - 1] @ vector_ED[0])[None, :]
        return RankingRequest.of(queries, vector_ED, rows_EK, scores_EK.astype(np.float32))

    def _score(self, asked: dict[int, RankingRequest]) -> dict[int, NDArray[np.float32] | ValueError]:
        if not asked:
            return {}
        requests = list(asked.values())
        try:
            scores = self._ranker.score(requests[0] if len(requests) == 1 else RankingRequest.stack(requests))
        except ValueError as error:
            if len(asked) == 1:
                return dict.fromkeys(asked, error)
            return {at: found for i, one in asked.items() for at, found in self._score({i: one}).items()}
        ends = np.cumsum([len(one.candidates_EK) for one in asked.values()]).tolist()
        parts = zip(asked.items(), [0, *ends], ends, strict=False)
        return {i: scores[start:end, : one.candidates_EK.shape[1]] for (i, one), start, end in parts}

    def _reply(self, body: Any, request: RankingRequest, scores: NDArray[np.float32] | ValueError) -> Reply:
        if isinstance(scores, ValueError):
            return _refusal(BadRequestError(str(scores)))
        if _json(body) is None:
            out = io.BytesIO()
            np.save(out, np.ascontiguousarray(scores))
            return Reply(200, "application/octet-stream", out.getvalue())
        ids = self._release.store.items.values(request.candidates_EK[0])
        listed = [{"item_id": item, "score": score} for item, score in zip(ids, scores[0].tolist(), strict=True)]
        return Reply(200, "application/json", json.dumps({"release": self._release.name, "scores": listed}).encode())


def _json(body: Any) -> dict[str, Any] | None:
    """The object of a JSON body, decoded or not; None when it is something else."""
    if isinstance(body, dict):
        return body
    text = body.encode() if isinstance(body, str) else body
    if not isinstance(text, bytes | bytearray) or text.lstrip()[:1] != b"{":
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadRequestError(f"the body is no JSON: {error}") from None
    assert isinstance(found, dict)
    return found


def _refusal(error: BadRequestError) -> Reply:
    return Reply(error.status, "application/json", json.dumps({"error": str(error)}).encode())
