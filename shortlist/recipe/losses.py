"""The losses of the towers: `retrieval.loss`, one class per kind, with the negatives that it supports."""

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

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


class StreamingLogQ(Section):
    """Estimates the sampling probability of an item while training: a moving average of the steps between two of its
    sightings, hashed into cells (Yi et al. 2019, algorithm 2)."""

    kind: Literal["streaming"]
    """From the stream of batches."""
    alpha: float = Field(0.05, gt=0, le=1)
    """The weight of the latest gap in the moving average; a larger one follows drift faster and is noisier."""
    cells: int = Field(1_048_576, ge=1)
    """Cells per hash function, 8 bytes each; items that share a cell are estimated as one."""
    hashes: int = Field(2, ge=1, le=8)
    """The number of hash functions; the largest of an item's gaps counts, so a collision matters only if it happens in
    all of them."""


# The tags choose the type whose errors are shown; `explain` drops those with a bracket.
_LogQ = Annotated[
    Annotated[bool, Tag("[switch]")] | Annotated[StreamingLogQ, Tag("[settings]")],
    Discriminator(lambda given: "[settings]" if isinstance(given, dict | StreamingLogQ) else "[switch]"),
]


class SoftmaxLoss(LossSettings):
    """Softmax over the positive and its negatives (Yi et al. 2019; over the whole catalogue with `full`)."""

    takes = ("in_batch", "mixed", "uniform", "full")

    kind: Literal["softmax"]
    """Softmax."""
    temperature: float = Field(0.05, gt=0)
    """The divisor of the scores; a small temperature sharpens the softmax."""
    log_q: _LogQ | None = None
    """Whether the score of a negative is corrected by its sampling probability (logQ), from exact counts of the train
    positives, or with `{kind: streaming}` by an estimate. By default it is, if negatives are sampled; `full` has
    nothing to correct."""

    @property
    def corrects_log_q(self) -> bool:
        return self.log_q is not False

    def check(self, negatives: Negatives, metric: Metric) -> None:  # noqa: ARG002
        if negatives.kind == "full" and self.log_q is not None:
            raise ValueError(
                "retrieval.loss.log_q corrects for the sampling of negatives, but retrieval.negatives.kind 'full' does "
                "not sample; remove log_q, or write negatives: {kind: in_batch}"
            )
        if negatives.kind == "uniform" and isinstance(self.log_q, StreamingLogQ):
            raise ValueError(
                "retrieval.loss.log_q.kind 'streaming' estimates how often items are in a batch, but the probability "
                "of retrieval.negatives.kind 'uniform' is known; write log_q: true, or negatives: {kind: in_batch}"
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
