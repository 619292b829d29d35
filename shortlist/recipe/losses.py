"""What the towers learn from: `retrieval.loss`, one class a kind with what it may be compared with."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shortlist.recipe.fields import Section, Share
from shortlist.recipe.negatives import InBatchNegatives, MixedNegatives, Negatives

NegativesKind = Literal["in_batch", "mixed", "uniform", "full"]
Metric = Literal["cosine", "dot"]


class LossSettings(Section):
    """What all kinds have."""

    takes: ClassVar[tuple[NegativesKind, ...]]
    """Kinds of negatives that it makes sense with."""

    @property
    def corrects_log_q(self) -> bool:
        """Whether a negative counts by how likely it was drawn."""
        return False

    def check(self, negatives: Negatives, metric: Metric) -> None:
        """Raises ValueError for what else this kind cannot learn from."""


class SoftmaxLoss(LossSettings):
    """Softmax over the positive and its negatives (Yi et al. 2019; over the whole catalogue with `full`)."""

    takes = ("in_batch", "mixed", "uniform", "full")

    kind: Literal["softmax"]
    """Softmax."""
    temperature: float = Field(0.05, gt=0)
    """Scores are divided by it: a small one sharpens the softmax."""
    log_q: bool | None = None
    """Whether a negative's score is corrected by how often it is drawn (logQ). By default wherever negatives are drawn;
    of `full`, where all are there for certain, there is nothing to correct."""

    @property
    def corrects_log_q(self) -> bool:
        return self.log_q is not False

    def check(self, negatives: Negatives, metric: Metric) -> None:  # noqa: ARG002
        if negatives.kind == "full" and self.log_q is not None:
            raise ValueError(
                "retrieval.loss.log_q corrects for what is drawn, and with retrieval.negatives.kind 'full' nothing is; "
                "remove log_q, or write negatives: {kind: in_batch}"
            )


class _WithoutHard(LossSettings):
    """Kinds that see the same negatives for all examples."""

    def check(self, negatives: Negatives, metric: Metric) -> None:  # noqa: ARG002
        if isinstance(negatives, InBatchNegatives | MixedNegatives) and negatives.num_hard:
            raise ValueError(
                f"retrieval.negatives.num_hard {negatives.num_hard}: only the loss softmax takes hard negatives; set "
                "num_hard to 0, or write loss: {kind: softmax}"
            )


class BceLoss(_WithoutHard):
    """Binary cross-entropy of the positive and the mean over its negatives (SASRec, Kang & McAuley 2018)."""

    takes = ("uniform", "in_batch", "mixed")

    kind: Literal["bce"]
    """Binary cross-entropy."""
    temperature: float = Field(0.05, gt=0)
    """Scores are divided by it: 1 with `metric: dot` is the paper's; cosines need a small one."""


class GbceLoss(LossSettings):
    """Binary cross-entropy that does not grow overconfident when negatives are sampled (gSASRec, Petrov & Macdonald
    2023)."""

    takes = ("uniform",)

    kind: Literal["gbce"]
    """Binary cross-entropy, calibrated for the sampling."""
    temperature: float = Field(0.05, gt=0)
    """Scores are divided by it."""
    calibration: Share = 0.75
    """1 makes its probabilities those of all items, 0 leaves them as high as the draws make them."""


class BprLoss(_WithoutHard):
    """The positive above each of its negatives (BPR, Rendle et al. 2009)."""

    takes = ("uniform", "in_batch", "mixed")

    kind: Literal["bpr"]
    """Pairs of a positive and a negative."""
    temperature: float = Field(0.05, gt=0)
    """Differences of scores are divided by it: 1 with `metric: dot` is the paper's; cosines need a small one."""


class CosineContrastiveLoss(LossSettings):
    """Cosines with a margin (SimpleX, Mao et al. 2021)."""

    takes = ("uniform",)

    kind: Literal["cosine_contrastive"]
    """Cosines with a margin."""
    margin: float = Field(0.4, ge=-1, le=1)
    """Negatives whose cosine is below it cost nothing."""
    negative_weight: float = Field(300.0, gt=0)
    """How much the mean over the negatives counts beside the positive."""

    def check(self, negatives: Negatives, metric: Metric) -> None:  # noqa: ARG002
        if metric != "cosine":
            raise ValueError(
                f"retrieval.metric {metric!r} does not go with retrieval.loss.kind {self.kind!r}, which compares "
                "cosines; set retrieval.metric to cosine"
            )


Loss = Annotated[SoftmaxLoss | BceLoss | GbceLoss | BprLoss | CosineContrastiveLoss, Field(discriminator="kind")]


def check_loss(loss: Loss, negatives: Negatives, metric: Metric) -> None:
    """Raises ValueError for negatives or a metric that this loss cannot learn from."""
    if negatives.kind not in loss.takes:
        raise ValueError(
            f"retrieval.negatives.kind {negatives.kind!r} does not go with retrieval.loss.kind {loss.kind!r}; allowed: "
            f"{', '.join(loss.takes)}; write negatives: {{kind: {loss.takes[0]}}}"
        )
    loss.check(negatives, metric)
