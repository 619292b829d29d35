"""The interface of a scorer, whose scores order the list."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.recommend.request import RankingRequest


class Scorer(Protocol):
    """The ranker in this process (`shortlist.ranking.ranker`); the transformer awaits the predictor instead."""

    def score(self, request: RankingRequest) -> NDArray[np.float32]:
        """A score for each candidate, [E, K], higher is better."""

    def log_odds(self, request: RankingRequest) -> NDArray[np.float64]:
        """What the score combines: the log-odds of each objective, [O, E, K]."""
