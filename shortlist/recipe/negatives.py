"""What a positive of the towers is compared with: `retrieval.negatives`, one class a kind."""

from typing import Annotated, Literal

from pydantic import Field

from shortlist.recipe.fields import Section


class InBatchNegatives(Section):
    """The items of the step's other examples: drawn by popularity, and their vectors are there anyway."""

    kind: Literal["in_batch"]
    """The step's own items."""
    max_in_batch: int = Field(4096, ge=1)
    """At most so many of a step's unique items are the negatives of its examples; they are drawn anew each step."""
    num_hard: int = Field(0, ge=0, le=256)
    """Wrong answers of our own index, found anew each epoch, that an example also sees; with `softmax`."""


class MixedNegatives(Section):
    """The items of the step's other examples, and some drawn evenly."""

    kind: Literal["mixed"]
    """The step's own items and even draws."""
    max_in_batch: int = Field(4096, ge=1)
    """At most so many of a step's unique items are the negatives of its examples; they are drawn anew each step."""
    num_uniform: int = Field(1024, ge=1)
    """Items drawn evenly at each step."""
    num_hard: int = Field(0, ge=0, le=256)
    """Wrong answers of our own index, found anew each epoch, that an example also sees; with `softmax`."""


class UniformNegatives(Section):
    """Items drawn evenly."""

    kind: Literal["uniform"]
    """Even draws."""
    num_uniform: int = Field(1024, ge=1)
    """Items drawn evenly at each step; all its examples share them."""


class FullNegatives(Section):
    """The whole catalogue: for small ones, or with a GPU."""

    kind: Literal["full"]
    """Every item."""


Negatives = Annotated[InBatchNegatives | MixedNegatives | UniformNegatives | FullNegatives, Field(discriminator="kind")]
