"""Compares the trained ranker with retrieval on the held-out queries, and calibrates its logits.

Shapes: H held-out queries, K candidates each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shortlist.metrics.bootstrap import intervals
from shortlist.progress import say
from shortlist.ranking.training.calibration import calibrated, calibration_error, fit_platt, reliability
from shortlist.ranking.training.held_out import DEPTH, HeldOut
from shortlist.ranking.training.label_task import LabelTask


@dataclass(frozen=True)
class RankerComparison:
    """The mean NDCG at 10 over the held-out queries, and the paired difference with its 95 % interval."""

    ranked: float
    retrieved: float
    difference: float
    low: float
    high: float


def compare_with_retrieval(held_out: HeldOut, seed: int) -> RankerComparison:
    ranked_H, retrieved_H = held_out.ndcg(), held_out.ndcg_retrieved()
    values_H3 = np.stack([ranked_H, retrieved_H, ranked_H - retrieved_H], axis=1)
    means, low, high = intervals(values_H3, resamples=1_000, confidence=0.95, seed=seed)
    say(
        f"train ranking: ndcg@{DEPTH} of {len(ranked_H)} held-out queries {means[0]:.4f}, "
        f"of retrieval {means[1]:.4f}, difference {means[2]:+.4f} ({low[2]:+.4f} to {high[2]:+.4f})"
    )
    return RankerComparison(float(means[0]), float(means[1]), float(means[2]), float(low[2]), float(high[2]))


@dataclass(frozen=True)
class Calibrated:
    """Slope and intercept from all held-out data, the errors before and after, and the reliability curve after."""

    slope: float
    intercept: float
    errors: dict[str, float]
    curve: list[list[float]]


def calibrate_candidates(held_out: HeldOut) -> Calibrated:
    """Calibrate on all candidates of the held-out queries; the halves consist of whole queries."""
    logits_HK = held_out.logits_HK
    inside_HK = np.isfinite(logits_HK)
    half_HK = np.broadcast_to(np.arange(len(logits_HK))[:, None] % 2, logits_HK.shape)
    return _calibrate(logits_HK[inside_HK], held_out.hits[inside_HK], half_HK[inside_HK])


def calibrate_labels(task: LabelTask) -> Calibrated:
    """Calibrate on the labelled events of the validation part."""
    return _calibrate(task.logits(task.valid), task.valid.labels, np.arange(len(task.valid.at_n)) % 2)


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
