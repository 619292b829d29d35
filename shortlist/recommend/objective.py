"""Several objectives as one score: the weighted mean of their calibrated log-odds.

    score(c) = sigmoid( sum_o w_o z_o(c) / sum_o |w_o| ),   z_o(c) = log( p_o(c) / (1 - p_o(c)) )

p_o is the calibrated probability that candidate c is a target of objective o. A weight is the worth of one unit of
log-odds, that is, of odds that are e = 2.7 times higher: with `{positive: 1, liked: 0.5}`, odds of a like that are e^2
times higher make up for odds of a positive that are e times lower. Only the ratios of weights matter.
With one weight above 0 the score is the calibrated probability of that objective; with several it is the weighted
geometric mean of odds, which orders a list and is not a probability.

Log-odds and not probabilities, since a label may be a hundred times rarer than the positives: weights near 1 then still
mean something. And not standard scores, since a head that has learnt nothing has nearly constant log-odds after its
calibration, and standardising would blow up its noise. See docs/decisions/objectives.md.

Shapes: O objectives, `positive` first, then the labels in the order of the recipe; E queries, K candidates each.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def weights_of(objective: Mapping[str, float], objectives: Sequence[str]) -> NDArray[np.float32]:
    """The weights in the order of the objectives, [O]; 0 for those that are not named."""
    return np.array([objective.get(name, 0.0) for name in objectives], np.float32)


def combine(log_odds_OEK: NDArray[np.floating], weight_EO: NDArray[np.floating]) -> NDArray[np.float64]:
    """The weighted mean of the log-odds, [E, K]; each query has a weight that is not 0."""
    share_EO = weight_EO.astype(np.float64) / np.abs(weight_EO, dtype=np.float64).sum(axis=1, keepdims=True)
    mean_EK: NDArray[np.float64] = np.einsum("oek,eo->ek", log_odds_OEK.astype(np.float64), share_EO)
    return mean_EK


def scores_of(log_odds_EK: NDArray[np.float64], candidates_EK: NDArray[np.int64]) -> NDArray[np.float32]:
    """The sigmoid of the log-odds, [E, K]; 0 for padding."""
    scores_EK = 1 / (1 + np.exp(-log_odds_EK))
    return np.where(candidates_EK > 0, scores_EK, 0.0).astype(np.float32)
