"""What the arrays of a feature store mean: the fields of items, users and the context."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from shortlist.data.categories import Kind

SCHEMA_VERSION = 5
"""2 has text, 3 what is popular, 4 the kind of a category, 5 when items are available; an older store is read as one
without text, in which what was popular still is, words are what they were and every item is always available."""
_CLOCK_ROWS = {"hour": 24, "weekday": 7}


class CategoricalField(BaseModel):
    """One vocabulary of one table."""

    model_config = ConfigDict(frozen=True)

    name: str
    num_rows: int
    dim: int
    max_values: int = 1
    kind: Kind | None = None
    """How its values are read; None in stores up to schema 3, whose words are what `str` makes of a value."""


class NumericField(BaseModel):
    """Mean and standard deviation of the train window."""

    model_config = ConfigDict(frozen=True)

    name: str
    mean: float
    std: float


class TextField(BaseModel):
    """Columns that became one vector."""

    model_config = ConfigDict(frozen=True)

    columns: list[str]
    dim: int


class TableSchema(BaseModel):
    """The features of items, users or the context."""

    model_config = ConfigDict(frozen=True)

    categorical: list[CategoricalField] = []
    numeric: list[NumericField] = []
    text: TextField | None = None

    @property
    def numeric_dim(self) -> int:
        """A number and a missing flag each."""
        return 2 * len(self.numeric)

    @property
    def text_dim(self) -> int:
        return 0 if self.text is None else self.text.dim


class FeatureSchema(BaseModel):
    """What the arrays of a store mean; saved beside them and checked when they are opened."""

    model_config = ConfigDict(frozen=True)

    version: int = SCHEMA_VERSION
    num_item_rows: int
    """Items of the catalogue and the unknown row."""
    num_user_rows: int
    history_length: int
    item: TableSchema
    user: TableSchema
    context: TableSchema
    clock: list[Literal["hour", "weekday"]] = []
    embedding_dim: int = 0
    availability: bool = False
    """Whether the store says when items are available; without, all always are."""

    @property
    def query_fields(self) -> dict[str, CategoricalField]:
        """Categorical fields of a query by their qualified name: the user's, the context's, the clock's."""
        fields = {f"user.{field.name}": field for field in self.user.categorical}
        fields |= {f"context.{field.name}": field for field in self.context.categorical}
        for unit in self.clock:
            fields[f"clock.{unit}"] = CategoricalField(name=unit, num_rows=_CLOCK_ROWS[unit] + 1, dim=8)
        return fields

    @property
    def query_numeric_dim(self) -> int:
        """The user's numbers, the context's, the user's text."""
        return self.user.numeric_dim + self.context.numeric_dim + self.user.text_dim
