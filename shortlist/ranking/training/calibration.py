"""From logits to probabilities: Platt scaling, and the calibration error.

Shapes: n candidates, each with a logit and whether it is a positive.
"""

import numpy as np
from numpy.typing import NDArray

_MIN_SLOPE = 1e-3
_STEPS = 100


def fit_platt(logits: NDArray[np.floating], positive: NDArray[np.bool_]) -> tuple[float, float]:
    """The maximum-likelihood slope a and intercept b of `sigmoid(a * logit + b)` (Platt 1999), both float64.

    Newton's method with backtracking, on targets that are smoothed so that the maximum is finite (Lin, Lin and Weng
    2007). The slope is at least 0.001, so that the order is always kept; if the logits are uninformative, the intercept
    then gives the share of positives.
    """
    x = np.asarray(logits, np.float64).ravel()
    count, hits = len(x), int(positive.sum())
    target = np.where(positive.ravel(), (hits + 1) / (hits + 2), 1 / (count - hits + 2))
    prior = (hits + 1) / (count + 2)
    slope, intercept = 0.0, float(np.log(prior / (1 - prior)))
    loss = _loss(slope * x + intercept, target)
    for _ in range(_STEPS):
        p = _sigmoid(slope * x + intercept)
        error, curve = p - target, p * (1 - p)
        gradient = np.array([error @ x, error.sum()])
        hessian = np.array([[curve @ (x * x), curve @ x], [curve @ x, curve.sum()]]) + 1e-12 * np.eye(2)
        if np.abs(gradient).max() < 1e-7 * max(count, 1):
            break
        move = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (better := _loss((slope - size * move[0]) * x + intercept - size * move[1], target)) > loss:
            size /= 2
            if size < 1e-10:
                break
        if size < 1e-10:
            break
        slope, intercept, loss = slope - size * move[0], intercept - size * move[1], better
    if slope < _MIN_SLOPE:
        slope = _MIN_SLOPE
        intercept = float(np.log(prior / (1 - prior))) - slope * (float(x.mean()) if count else 0.0)
    return float(slope), float(intercept)


def calibrated(logits: NDArray[np.floating], slope: float, intercept: float) -> NDArray[np.float64]:
    """The calibrated probabilities, of the same shape."""
    return _sigmoid(slope * np.asarray(logits, np.float64) + intercept)


def reliability(probabilities: NDArray[np.floating], positive: NDArray[np.bool_], bins: int = 15) -> list[list[float]]:
    """Rows of mean probability, share of positives and number of candidates, in bins of equal size."""
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [[float(probabilities[part].mean()), float(positive[part].mean()), float(len(part))] for part in parts]


def calibration_error(probabilities: NDArray[np.floating], positive: NDArray[np.bool_], bins: int = 15) -> float:
    """The expected calibration error: the mean of |probability - share of positives| over the bins of `reliability`.

    Naeini, Cooper and Hauskrecht 2015, with bins of equal size, since nearly all candidates are negatives.
    """
    rows = np.array(reliability(probabilities, positive, bins)).reshape(-1, 3)
    return float(np.abs(rows[:, 0] - rows[:, 1]) @ rows[:, 2] / max(rows[:, 2].sum(), 1))


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    small = np.exp(-np.abs(x))
    probability: NDArray[np.float64] = np.where(x >= 0, 1, small) / (1 + small)
    return probability


def _loss(logit: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0, logit) - target * logit).sum())
