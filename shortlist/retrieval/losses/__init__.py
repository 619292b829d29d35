"""Losses of retrieval, which compare an example's positive with other items.

Shapes: E examples, C of them in one chunk, N candidates, M hard negatives of an example, X pairs, D vector width.

| `retrieval.loss.kind` | loss | paper |
|---|---|---|
| `softmax` | softmax over all items, or a sample weighted by probability | Yi et al. 2019, Yang et al. 2020 |
| `bce` | binary cross-entropy against sampled negatives | Kang & McAuley 2018 |
| `gbce` | binary cross-entropy, the positive term calibrated for the sampling | Petrov & Macdonald 2023 |
| `bpr` | the positive above each negative | Rendle et al. 2009 |
| `cosine_contrastive` | cosines of negatives above a margin are penalised | Mao et al. 2021 |

Each file defines one function from a chunk's scores to a loss and its derivatives; `chunked.py` does the rest. The
negatives are drawn by `retrieval/negatives`. For a comparison with the softmax over all items see docs/figures.md.
"""

from collections.abc import Callable
from functools import partial
from typing import assert_never

from torch import Tensor

from shortlist.recipe import BceLoss, BprLoss, CosineContrastiveLoss, GbceLoss, Loss, SoftmaxLoss
from shortlist.retrieval.losses.bce import bce_loss
from shortlist.retrieval.losses.bpr import bpr_loss
from shortlist.retrieval.losses.chunked import Compared
from shortlist.retrieval.losses.cosine_contrastive import cosine_contrastive_loss
from shortlist.retrieval.losses.gbce import gbce_loss
from shortlist.retrieval.losses.softmax import log_q_of, softmax_loss

__all__ = [
    "Compared",
    "bce_loss",
    "bpr_loss",
    "cosine_contrastive_loss",
    "gbce_loss",
    "log_q_of",
    "loss_of",
    "softmax_loss",
]


def loss_of(settings: Loss, num_items: int) -> Callable[[Compared], Tensor]:
    """The loss of a recipe; negatives are drawn from `num_items`."""
    match settings:
        case SoftmaxLoss():
            return partial(softmax_loss, temperature=settings.temperature)
        case BceLoss():
            return partial(bce_loss, temperature=settings.temperature)
        case GbceLoss():
            return partial(
                gbce_loss, temperature=settings.temperature, num_items=num_items, calibration=settings.calibration
            )
        case BprLoss():
            return partial(bpr_loss, temperature=settings.temperature)
        case CosineContrastiveLoss():
            return partial(cosine_contrastive_loss, margin=settings.margin, negative_weight=settings.negative_weight)
        case _:
            assert_never(settings)
