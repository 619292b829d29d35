"""The transformer as KServe sees it."""

import asyncio
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from kserve import Model

from serving.question import BadRequestError, Question, parse_questions
from serving.transformer import errors, protocol
from serving.transformer.ask_predictor import DegradedError, Predictor
from serving.transformer.metrics import DEGRADED, QUESTIONS, STAGE_SECONDS
from serving.transformer.recommend import Candidates, Recommender

_WAIT_SHARE = 0.9
"""Of the deadline is waited for the predictor; the rest is for writing the answer."""


class Transformer(Model):  # type: ignore[misc]  # kserve is untyped
    """Answers from one release. It is pickled as its arguments: a worker opens the release, memory-mapped, anew."""

    def __init__(self, name: str, folder: Path, predictor_host: str | None, *, tls: bool = False) -> None:
        super().__init__(name)
        self._arguments = (name, folder, predictor_host, tls)
        self._recommender: Recommender
        self._predictor: Predictor | None = None

    def load(self) -> bool:
        """Open the release and ask it once. Raises ValueError when it is broken, or ranks and has no predictor."""
        from kserve.model_server import app  # noqa: PLC0415  # it reads the command line when imported

        name, folder, host, tls = self._arguments
        self._recommender = Recommender.open(folder)
        release = self._recommender.release
        if release.ranks and host is None:
            raise ValueError(f"{folder}: this release has a ranker; say where it runs with --predictor_host HOST:PORT")
        if release.ranks and host is not None:
            self._predictor = Predictor(host, name, release.name, tls=tls)
        # KServe's, about its own answers, in every log.
        warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
        errors.register(app, release.recipe.serving.max_history)
        self.ready = True
        return True

    def stop(self) -> None:
        """KServe calls this at the end, in its event loop."""
        self.ready = False
        if self._predictor is not None:
            self._closing = asyncio.get_running_loop().create_task(self._predictor.close())

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, self._arguments

    def get_input_types(self) -> list[dict[str, Any]]:
        """V2 metadata."""
        return [protocol.INPUT]

    def get_output_types(self) -> list[dict[str, Any]]:
        """V2 metadata."""
        return [protocol.OUTPUT]

    async def preprocess(self, payload: Any, *_: Any) -> tuple[list[Question], Any]:
        """The questions of a request, and the request. Raises RefusedError."""
        release = self._recommender.release
        try:
            body = protocol.read(payload)
            return parse_questions(body, release.recipe.serving, release.store.schema), payload
        except BadRequestError as error:
            raise errors.RefusedError(error) from None

    async def predict(self, payload: tuple[list[Question], Any], *_: Any) -> tuple[list[dict[str, Any]], Any]:
        """The predictions, and the request that they answer."""
        questions, request = payload
        return await self.recommend(questions), request

    async def postprocess(self, result: Any, *_: Any) -> Any:
        """The answer in the protocol of the request."""
        return protocol.write(*result)

    async def recommend(self, questions: Sequence[Question]) -> list[dict[str, Any]]:
        """One prediction a question, within the recipe's deadline."""
        start = perf_counter()
        found = self._recommender.find(questions)
        ranks, degraded = None, None
        asked = perf_counter()
        if found.request is not None and self._predictor is not None:
            wait = _WAIT_SHARE * self._recommender.release.recipe.serving.deadline_ms / 1e3 - (asked - start)
            try:
                ranks = await self._predictor.scores(found.request, wait)
            except DegradedError as error:
                degraded = str(error)
                DEGRADED.labels(error.reason).inc()
        found.timings_ms["rank"] = 1e3 * (perf_counter() - asked)
        predictions = self._recommender.answers(found, ranks, degraded)
        found.timings_ms["total"] = 1e3 * (perf_counter() - start)
        _count(found)
        return predictions


def _open(name: str, folder: Path, predictor_host: str | None, tls: bool) -> Transformer:
    model = Transformer(name, folder, predictor_host, tls=tls)
    model.load()
    return model


def _count(found: Candidates) -> None:
    for stage, milliseconds in found.timings_ms.items():
        STAGE_SECONDS.labels(stage).observe(milliseconds / 1e3)
        found.timings_ms[stage] = round(milliseconds, 3)
    for user, source in zip(found.asked.user_E.tolist(), found.sources, strict=True):
        QUESTIONS.labels("known" if user else "unknown", source).inc()
