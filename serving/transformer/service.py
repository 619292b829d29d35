"""From queries to predictions within the deadline: retrieve, query the predictor, answer."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from shortlist.answer import page
from shortlist.answer.query import Query
from shortlist.answer.release import Release
from shortlist.answer.release_recommender import Found, ReleaseRecommender, paged
from shortlist.answer.response_schema import Page, Prediction, Stage
from shortlist.recipe import AvailabilityFile
from shortlist.serving.transformer.ask_predictor import DegradedError, Predictor
from shortlist.serving.transformer.availability import AvailabilityWatcher
from shortlist.serving.transformer.metrics import DEGRADED, QUERIES, STAGE_SECONDS

_WAIT_SHARE = 0.9
"""Share of the deadline to wait for the predictor; the rest is for writing the answer."""


class Service:
    """Answers queries from one release, with its predictor if the release has a ranker."""

    def __init__(
        self,
        recommender: ReleaseRecommender,
        predictor: Predictor | None,
        watcher: AvailabilityWatcher | None = None,
    ) -> None:
        self._recommender, self._predictor, self._watcher = recommender, predictor, watcher
        self._rng = np.random.default_rng()
        """Of exploration; unseeded, so that replicas explore different items."""
        self._stages = {stage: STAGE_SECONDS.labels(stage) for stage in get_args(Stage)}
        self._wait_seconds = _WAIT_SHARE * self.release.recipe.serving.deadline_ms / 1e3

    @classmethod
    def open(
        cls,
        folder: Path,
        model_name: str,
        predictor_host: str | None,
        *,
        tls: bool = False,
        availability: str | None = None,
    ) -> "Service":
        """Open a release and answer one query from it; `availability` replaces the path of its availability file.

        Raises ValueError when it is broken, or has a ranker but no predictor. A file that cannot be read is not an
        error: the availability of the release is in use until it can.
        """
        recommender = ReleaseRecommender.open(folder)
        release, predictor = recommender.release, None
        if release.ranks:
            if predictor_host is None:
                raise ValueError(f"{folder}: the release has a ranker; set its address with --predictor_host HOST:PORT")
            predictor = Predictor(predictor_host, model_name, release.name, tls=tls)
        settings = _settings(release.recipe.serving.availability, availability)
        watcher = None if settings is None else AvailabilityWatcher(recommender, settings)
        if watcher is not None:
            watcher.start()
        return cls(recommender, predictor, watcher)

    @property
    def release(self) -> Release:
        """The release in service."""
        return self._recommender.release

    async def answer(self, queries: Sequence[Query]) -> list[Prediction | Page]:
        """One prediction per query or one page per query with rows, within the recipe's deadline.

        If the predictor fails or is slow, the lists are in the order of retrieval and `degraded` has the reason.
        """
        start = perf_counter()
        found = self._recommender.find(queries)
        found.timings_ms["rank"] = 0.0
        scores, degraded = await self._scores(found, found, start)
        lists, tried = self._recommender.lists(found, scores, self._rng), set[int]()
        while (short := self._recommender.short_row(found, lists, tried)) is not None:
            row, more = short
            scores, late = await self._scores(more, found, start)
            lists = page.with_list(lists, row, self._recommender.lists(more, scores, self._rng))
            degraded, tried = degraded or late, tried | {row}
        predictions = self._recommender.predictions(found, lists, degraded)
        found.timings_ms["total"] = 1e3 * (perf_counter() - start)
        self._count(found)
        return paged(queries, predictions)

    async def _scores(self, found: Found, of: Found, start: float) -> tuple[NDArray[np.float32] | None, str | None]:
        """The predictor's scores, or why there are none; the wait is added to the timings of the request."""
        if found.request is None or self._predictor is None:
            return None, None
        asked = perf_counter()
        try:
            return await self._predictor.scores(found.request, self._wait_seconds - (asked - start)), None
        except DegradedError as error:
            DEGRADED.labels(error.reason).inc()
            return None, str(error)
        finally:
            of.timings_ms["rank"] += 1e3 * (perf_counter() - asked)

    async def close(self) -> None:
        """Close the connections to the predictor, and look at no file any more."""
        if self._watcher is not None:
            self._watcher.stop()
        if self._predictor is not None:
            await self._predictor.close()

    def _count(self, found: Found) -> None:
        for stage, milliseconds in found.timings_ms.items():
            self._stages[stage].observe(milliseconds / 1e3)
            found.timings_ms[stage] = round(milliseconds, 3)
        for user, source in zip(found.encoded.user_E.tolist(), found.sources, strict=True):
            QUERIES.labels("known" if user else "unknown", source).inc()


def _settings(of_release: AvailabilityFile | None, path: str | None) -> AvailabilityFile | None:
    """The settings of the availability file, with another path if one is given. Raises ValueError for its ending."""
    if path is None:
        return of_release
    given = {} if of_release is None else of_release.model_dump()
    try:
        return AvailabilityFile.model_validate({**given, "path": path})
    except ValidationError as error:
        raise ValueError(f"--availability: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
