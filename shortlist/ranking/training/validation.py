"""Compares the trained ranker with retrieval on the held-out queries, and calibrates its logits.

Shapes: O objectives, H held-out queries, K candidates each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.metrics.bootstrap import intervals
from shortlist.progress import say
from shortlist.ranking.training.calibration import calibrated, calibration_error, fit_platt, reliability
from shortlist.ranking.training.held_out import DEPTH, HeldOut
from shortlist.ranking.training.label_task import LabelTask
from shortlist.recommend.objective import combine, weights_of


@dataclass(frozen=True)
class RankerComparison:
    """The mean NDCG at 10 over the held-out queries, and the paired difference with its 95 % interval."""

    ranked: float
    retrieved: float
    difference: float
    low: float
    high: float


def compare_with_retrieval(held_out: HeldOut, seed: int) -> RankerComparison:
    """With labels: the order by the objective of the recipe, and the weighted mean of the NDCG of the objectives."""
    ranked_H, retrieved_H = held_out.ndcg(), held_out.ndcg_retrieved()
    if held_out.retrieved.label_hits:
        ranked_H = held_out.ndcg_in_order(_served(held_out))
    values_H3 = np.stack([ranked_H, retrieved_H, ranked_H - retrieved_H], axis=1)
    means, low, high = intervals(values_H3, resamples=1_000, confidence=0.95, seed=seed)
    say(
        f"train ranking: ndcg@{DEPTH} of {len(ranked_H)} held-out queries {means[0]:.4f}, "
        f"of retrieval {means[1]:.4f}, difference {means[2]:+.4f} ({low[2]:+.4f} to {high[2]:+.4f})"
    )
    return RankerComparison(float(means[0]), float(means[1]), float(means[2]), float(low[2]), float(high[2]))


def _served(held_out: HeldOut) -> NDArray[np.float64]:
    """The scores that order a list, before the sigmoid, [H, K]; -inf for padding."""
    found = calibrate_candidates(held_out).values()
    log_odds_OHK = np.stack(
        [one.slope * logits + one.intercept for one, logits in zip(found, held_out.logits_OHK, strict=True)]
    )
    inside_HK = np.isfinite(held_out.logits_OHK[0])
    weight_O = weights_of(held_out.objective, held_out.retrieved.objectives)
    served_HK = combine(
        np.where(inside_HK, log_odds_OHK, 0), np.broadcast_to(weight_O, (len(inside_HK), len(weight_O)))
    )
    return np.where(inside_HK, served_HK, -np.inf)


@dataclass(frozen=True)
class Calibrated:
    """Slope and intercept from all held-out data, the errors before and after, and the reliability curve after."""

    slope: float
    intercept: float
    errors: dict[str, float]
    curve: list[list[float]]


def calibrate_candidates(held_out: HeldOut) -> dict[str, Calibrated]:
    """Objective -> its calibration on all candidates of the held-out queries; the halves consist of whole queries.

    The queries of a label include those without a target of it, so that rare labels get low probabilities.
    """
    inside_HK = np.isfinite(held_out.logits_OHK[0])
    half_HK = np.broadcast_to(np.arange(len(inside_HK))[:, None] % 2, inside_HK.shape)
    return {
        name: _calibrate(logits_HK[inside_HK], held_out.hits(name)[inside_HK], half_HK[inside_HK])
        for name, logits_HK in zip(held_out.retrieved.objectives, held_out.logits_OHK, strict=True)
    }


def calibrate_labels(task: LabelTask) -> dict[str, Calibrated]:
    """Objective -> its calibration on the labelled events of the validation part."""
    half = np.arange(len(task.valid.at_n)) % 2
    logits_On = task.objectives(task.valid)
    return {
        name: _calibrate(logits_n, task.valid.labels_of(name), half)
        for name, logits_n in zip(task.names, logits_On, strict=True)
    }


def _calibrate(logits: NDArray[np.float32], positive: NDArray[np.bool_], half: NDArray[np.integer]) -> Calibrated:
    """Two-fold: the errors after calibration are computed on one half with the sigmoid that was fitted on the other."""
    probability = np.empty(len(logits))
    for own in (0, 1):
        other = half != own
        probability[~other] = calibrated(logits[~other], *fit_platt(logits[other], positive[other]))
    errors = {
        "calibration_error_before": calibration_error(calibrated(logits, 1.0, 0.0), positive),
        "calibration_error_after": calibration_error(probability, positive),
    }
    return Calibrated(*fit_platt(logits, positive), errors, reliability(probability, positive))
