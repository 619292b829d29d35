"""The tune block of a recipe: the fields that trials vary, and the metric that compares them."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from shortlist.recipe.fields import Section


def _range(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] < ends[1]:
        raise ValueError(f"[{ends[0]:g}, {ends[1]:g}] is not a range: write [smallest, largest]")
    return ends


def _positive(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] <= 0:
        raise ValueError(f"[{ends[0]:g}, {ends[1]:g}] must be above 0 for a logarithmic range; use uniform")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_range)]
"""The smallest and the largest value."""


class Space(Section):
    """The values of one field; exactly one of these is given."""

    choice: list[Any] | None = Field(None, min_length=1)
    """One of these values."""
    uniform: Range | None = None
    """A number of a range."""
    log_uniform: Annotated[Range, AfterValidator(_positive)] | None = None
    """A number of a range whose logarithm is uniform, for learning rates."""
    integer: tuple[int, int] | None = None
    """A whole number of a range, ends included."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give one of choice, uniform, log_uniform and integer, not {' and '.join(given) or 'none'}"
            )
        if self.integer is not None:
            _range(self.integer)
        return self


class Tune(Section):
    """Trials of the recipe with other values, compared on the validation window: docs/tuning.md."""

    fields: dict[str, Space] = Field(min_length=1)
    """Path of a field -> its values, like `retrieval.dim: {choice: [64, 128]}`."""
    metric: str = "ndcg_at_10"
    """A metric of validation that is computed after each epoch; higher is better."""
    step: Literal["train_retrieval", "train_ranking"] = "train_retrieval"
    """The training whose metric it is; a trial ends with it."""
    trials: int = Field(16, ge=1)
    """The number of trials."""
    min_epochs: int = Field(1, ge=1)
    """A trial is not stopped before this number of epochs."""
    reduction: int = Field(3, ge=2)
    """Of the trials that reach an epoch at which trials are compared, one of so many continues (ASHA)."""
