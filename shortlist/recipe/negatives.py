"""The negatives of the towers: `retrieval.negatives`, one class per kind."""

from typing import Annotated, Literal

from pydantic import Field

from shortlist.recipe.fields import Section


class InBatchNegatives(Section):
    """In-batch negatives: the items of the other examples of the step, which follow the popularity distribution."""

    kind: Literal["in_batch"]
    """The items of the batch."""
    max_in_batch: int = Field(4096, ge=1)
    """The maximum number of unique items of a step that are used as negatives; a new random subset in each step."""
    num_hard: int = Field(0, ge=0, le=256)
    """The number of hard negatives per example: items that the model ranks high but that are not positives, searched
    again in each epoch; only with `softmax`."""


class MixedNegatives(Section):
    """The items of the other examples of the step, and uniformly sampled items."""

    kind: Literal["mixed"]
    """The items of the batch and uniform samples."""
    max_in_batch: int = Field(4096, ge=1)
    """The maximum number of unique items of a step that are used as negatives; a new random subset in each step."""
    num_uniform: int = Field(1024, ge=1)
    """The number of uniformly sampled items per step."""
    num_hard: int = Field(0, ge=0, le=256)
    """The number of hard negatives per example: items that the model ranks high but that are not positives, searched
    again in each epoch; only with `softmax`."""


class UniformNegatives(Section):
    """Uniformly sampled items."""

    kind: Literal["uniform"]
    """Uniform samples."""
    num_uniform: int = Field(1024, ge=1)
    """The number of uniformly sampled items per step, shared by all its examples."""


class OwnNegatives(Section):
    """Uniformly sampled items of each example alone, as BPR was published: few, so the whole step stays small."""

    kind: Literal["own"]
    """Uniform samples of each example."""
    num_own: int = Field(4, ge=1, le=256)
    """The number of sampled items per example."""


class FullNegatives(Section):
    """The whole catalogue, for small catalogues or with a GPU."""

    kind: Literal["full"]
    """Every item."""


Negatives = Annotated[
    InBatchNegatives | MixedNegatives | UniformNegatives | OwnNegatives | FullNegatives, Field(discriminator="kind")
]
