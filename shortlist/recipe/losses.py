"""The losses of the towers: `retrieval.loss`, one class per kind, with the negatives that it supports."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shortlist.recipe.fields import Section, Share
from shortlist.recipe.negatives import InBatchNegatives, MixedNegatives, Negatives

NegativesKind = Literal["in_batch", "mixed", "uniform", "own", "full"]
Metric = Literal["cosine", "dot"]


class LossSettings(Section):
    """The common fields and checks of all kinds."""

    takes: ClassVar[tuple[NegativesKind, ...]]
    """The supported kinds of negatives."""

    @property
    def corrects_log_q(self) -> bool:
        """Whether the scores of negatives are corrected by their sampling probability (logQ)."""
        return False

    def check(self, negatives: Negatives, metric: Metric) -> None:
        """Raises ValueError for settings that this kind does not support."""


class SoftmaxLoss(LossSettings):
    """Softmax over the positive and its negatives (Yi et al. 2019; over the whole catalogue with `full`)."""

    takes = ("in_batch", "mixed", "uniform", "full")

    kind: Literal["softmax"]
    """Softmax."""
    temperature: float = Field(0.05, gt=0)
    """The divisor of the scores; a small temperature sharpens the softmax."""
    log_q: bool | None = None
    """Whether the score of a negative is corrected by its sampling probability (logQ). By default it is, if negatives
    are sampled; `full` has nothing to correct."""

    @property
    def corrects_log_q(self) -> bool:
        return self.log_q is not False

    def check(self, negatives: Negatives, metric: Metric) -> None:  # noqa: ARG002
        if negatives.kind == "full" and self.log_q is not None:
            raise ValueError(
                "retrieval.loss.log_q corrects for the sampling of negatives, but retrieval.negatives.kind 'full' does "
                "not sample; remove log_q, or write negatives: {kind: in_batch}"
            )


class _WithoutHard(LossSettings):
    """Kinds that have the same negatives for all examples."""

    def check(self, negatives: Negatives, metric: Metric) -> None:  # noqa: ARG002
        if isinstance(negatives, InBatchNegatives | MixedNegatives) and negatives.num_hard:
            raise ValueError(
                f"retrieval.negatives.num_hard {negatives.num_hard}: only the loss softmax supports hard negatives; "
                "set num_hard to 0, or write loss: {kind: softmax}"
            )


class BceLoss(_WithoutHard):
    """Binary cross-entropy of the positive and the mean over its negatives (SASRec, Kang & McAuley 2018)."""

    takes = ("uniform", "in_batch", "mixed")

    kind: Literal["bce"]
    """Binary cross-entropy."""
    temperature: float = Field(0.05, gt=0)
    """The divisor of the scores: 1 with `metric: dot` as in the paper; cosines need a small temperature."""


class GbceLoss(LossSettings):
    """Binary cross-entropy that does not grow overconfident when negatives are sampled (gSASRec, Petrov & Macdonald
    2023)."""

    takes = ("uniform",)

    kind: Literal["gbce"]
    """Binary cross-entropy, calibrated for the sampling."""
    temperature: float = Field(0.05, gt=0)
    """The divisor of the scores."""
    calibration: Share = 0.75
    """1 calibrates the probabilities to the whole catalogue, 0 leaves the bias of the sampling."""


class BprLoss(_WithoutHard):
    """Ranks the positive above each of its negatives (BPR, Rendle et al. 2009)."""

    takes = ("uniform", "own", "in_batch", "mixed")

    kind: Literal["bpr"]
    """Pairs of a positive and a negative."""
    temperature: float = Field(0.05, gt=0)
    """The divisor of score differences: 1 with `metric: dot` as in the paper; cosines need a small temperature."""


class CosineContrastiveLoss(LossSettings):
    """Cosines with a margin (SimpleX, Mao et al. 2021)."""

    takes = ("uniform",)

    kind: Literal["cosine_contrastive"]
    """Cosines with a margin."""
    margin: float = Field(0.4, ge=-1, le=1)
    """Negatives with a smaller cosine have no loss."""
    negative_weight: float = Field(300.0, gt=0)
    """The weight of the mean over the negatives, relative to the positive."""

    def check(self, negatives: Negatives, metric: Metric) -> None:  # noqa: ARG002
        if metric != "cosine":
            raise ValueError(
                f"retrieval.metric {metric!r} is not supported by retrieval.loss.kind {self.kind!r}, which "
                "compares cosines; set retrieval.metric to cosine"
            )


Loss = Annotated[SoftmaxLoss | BceLoss | GbceLoss | BprLoss | CosineContrastiveLoss, Field(discriminator="kind")]


def check_loss(loss: Loss, negatives: Negatives, metric: Metric) -> None:
    """Raises ValueError for negatives or a metric that this loss does not support."""
    if negatives.kind not in loss.takes:
        raise ValueError(
            f"retrieval.negatives.kind {negatives.kind!r} is not supported by retrieval.loss.kind {loss.kind!r}; "
            f"allowed: {', '.join(loss.takes)}; write negatives: {{kind: {loss.takes[0]}}}"
        )
    loss.check(negatives, metric)
