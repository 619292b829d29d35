"""The schema of a feature store: the fields of items, users and the context."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from shortlist.data.categories import Kind

SCHEMA_VERSION = 5
"""Version 2 added text, 3 time-decayed popularity, 4 the kind of a category, 5 the availability of items. In an older
store there is no text, popularity is not time-decayed, categories keep their old keys, or every item is always
available."""
_CLOCK_ROWS = {"hour": 24, "weekday": 7}


class CategoricalField(BaseModel):
    """One vocabulary of one table."""

    model_config = ConfigDict(frozen=True)

    name: str
    num_rows: int
    dim: int
    max_values: int = 1
    kind: Kind | None = None
    """How its values are read; None in stores up to schema 3, whose keys are `str(value)`."""


class NumericField(BaseModel):
    """Mean and standard deviation of the train window."""

    model_config = ConfigDict(frozen=True)

    name: str
    mean: float
    std: float


class TextField(BaseModel):
    """Columns that are encoded as one vector."""

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
        """Two per field: the number and its missing flag."""
        return 2 * len(self.numeric)

    @property
    def text_dim(self) -> int:
        return 0 if self.text is None else self.text.dim


class FeatureSchema(BaseModel):
    """The schema of a store's arrays; saved next to them and checked when the store is opened."""

    model_config = ConfigDict(frozen=True)

    version: int = SCHEMA_VERSION
    num_item_rows: int
    """Number of items in the catalogue, plus the unknown row."""
    num_user_rows: int
    history_length: int
    item: TableSchema
    user: TableSchema
    context: TableSchema
    clock: list[Literal["hour", "weekday"]] = []
    embedding_dim: int = 0
    availability: bool = False
    """Whether the store has the availability of items; otherwise all items are always available."""

    @property
    def query_fields(self) -> dict[str, CategoricalField]:
        """Categorical fields of a query by their qualified name: user, context and clock fields."""
        fields = {f"user.{field.name}": field for field in self.user.categorical}
        fields |= {f"context.{field.name}": field for field in self.context.categorical}
        for unit in self.clock:
            fields[f"clock.{unit}"] = CategoricalField(name=unit, num_rows=_CLOCK_ROWS[unit] + 1, dim=8)
        return fields

    @property
    def query_numeric_dim(self) -> int:
        """Width of the user's numbers, the context's numbers and the user's text."""
        return self.user.numeric_dim + self.context.numeric_dim + self.user.text_dim
