"""The learning rate over the steps of a training."""

import math

from shortlist.recipe import Training


def learning_rate_at(step: int, total: int, training: Training) -> float:
    """The learning rate of optimiser step `step`, counted from 0, of `total`.

    A linear warm-up over `warmup * total` steps is followed by the schedule of the recipe over the others.
    """
    warmup_steps = math.ceil(training.warmup * total)
    if step < warmup_steps:
        return training.learning_rate * (step + 1) / warmup_steps
    done = min((step - warmup_steps) / max(total - warmup_steps, 1), 1.0)
    return training.learning_rate * _factor(done, training)


def _factor(done: float, training: Training) -> float:
    """The factor of the peak rate after this share of the steps that follow the warm-up."""
    match training.schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return 1 - done
        case "constant":
            return 1.0
        case "step":
            return training.step_factor ** sum(done >= at for at in training.step_at)
