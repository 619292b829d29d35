"""The context columns of samples and queries, encoded in two passes.

While ranges of users are written, categorical columns hold rows of a vocabulary of all values, and numeric columns hold
raw numbers. Then the vocabulary is cut to the values of the train samples, the numbers are standardised by their mean
and deviation there, and the columns are rewritten. This is done in blocks of fixed size, so that sums do not depend on
the ranges.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.categories import Kind
from shortlist.data.category_columns import keys_of, kind_of
from shortlist.dataset.columns import ColumnWriter, blocks, load, save
from shortlist.dataset.encode import encode_column, numbers_of, values_of, vocabulary_of
from shortlist.dataset.entity_features import count_rows, keep_frequent
from shortlist.dataset.evaluation_queries import QueryRows
from shortlist.dataset.split import TRAIN
from shortlist.features import CategoricalField, NumericField, TableSchema, encode_clock, encode_numeric
from shortlist.features.vocabulary import Vocabulary
from shortlist.recipe import Recipe
from shortlist.recipe.model import ContextFeatures

_BLOCK = 1 << 20
_RAW = "context/raw"


@dataclass
class ContextColumns:
    """What the recipe's `features.context` adds to every sample."""

    spec: ContextFeatures
    folder: Path
    """The samples folder."""
    vocabularies: dict[str, Vocabulary]
    """Of each categorical column: first all of its values, then those of the train samples."""
    kinds: dict[str, Kind]
    """How each categorical column is read."""
    numeric: list[NumericField] = field(default_factory=list)

    @classmethod
    def plan(cls, recipe: Recipe, events: pl.LazyFrame, folder: Path) -> "ContextColumns":
        """Build the vocabularies of all values. Raises ValueError for a column whose type cannot be categorical."""
        spec, types = recipe.features.context, events.collect_schema()
        vocabularies, kinds = {}, {}
        for one in spec.categorical:
            where = f"events.{one.name}"
            kinds[one.name] = kind_of(types[one.name], where)
            values = values_of(one.name, types[one.name], one.max_values).unique()
            found = events.select(values).collect(engine="streaming")[one.name]
            vocabularies[one.name] = vocabulary_of(keys_of(found, kinds[one.name]), where)
        return cls(spec, folder, vocabularies, kinds)

    def open(self, columns: ColumnWriter, count: int) -> None:
        for one in self.spec.categorical:
            columns.add(f"context/context.{one.name}", np.int32, (count, one.max_values))
        for unit in self.spec.clock:
            columns.add(f"context/clock.{unit}", np.int32, (count, 1))
        columns.add(_RAW, np.float64, (count, len(self.spec.numeric)))

    def encode(self, table: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """The columns of some events, in their order, but for the clock."""
        columns: dict[str, NDArray[Any]] = {
            f"context/context.{one.name}": encode_column(
                table[one.name], self.vocabularies[one.name], one.max_values, self.kinds[one.name]
            )
            for one in self.spec.categorical
        }
        numbers = [numbers_of(table[name], f"events.{name}") for name in self.spec.numeric]
        columns[_RAW] = np.stack(numbers, axis=1) if numbers else np.zeros((table.height, 0))
        return columns

    def finish(self) -> None:
        """Cut the vocabularies to the train samples, and standardise the numbers by them."""
        part = load(self.folder / "part.npy")
        for one in self.spec.categorical:
            path = self.folder / f"context/context.{one.name}.npy"
            rows = np.load(path, mmap_mode="r+")
            seen = np.zeros(self.vocabularies[one.name].num_rows, np.int64)
            for block in blocks(len(part), _BLOCK):
                seen += count_rows(rows[block][part[block] == TRAIN], len(seen))
            self.vocabularies[one.name], row = keep_frequent(self.vocabularies[one.name], seen, one.min_count)
            for block in blocks(len(part), _BLOCK):
                rows[block] = row[rows[block]]
            rows.flush()
        raw = load(self.folder / f"{_RAW}.npy")
        self.numeric = [self._mean_and_deviation(i, name, raw, part) for i, name in enumerate(self.spec.numeric)]
        schema = TableSchema(numeric=self.numeric)
        with ColumnWriter(self.folder) as columns:
            columns.add("context/numeric", np.float32, (len(part), schema.numeric_dim))
            for block in blocks(len(part), _BLOCK):
                columns.write("context/numeric", encode_numeric(list(raw[block].T), schema, len(raw[block])))
        (self.folder / f"{_RAW}.npy").unlink()

    def write_features(self, folder: Path) -> TableSchema:
        """The vocabularies, and the schema of the columns."""
        for name, vocabulary in self.vocabularies.items():
            vocabulary.save(folder / f"vocabularies/context.{name}.npy")
        fields = [
            CategoricalField(
                name=one.name,
                num_rows=self.vocabularies[one.name].num_rows,
                dim=one.dim,
                max_values=one.max_values,
                kind=self.kinds[one.name],
            )
            for one in self.spec.categorical
        ]
        return TableSchema(categorical=fields, numeric=self.numeric)

    def write_queries(self, folder: Path, queries: QueryRows) -> None:
        """The context of each query: that of its sample, or only the clock where it has none."""
        known = queries.sample >= 0
        for one in self.spec.categorical:
            rows = load(self.folder / f"context/context.{one.name}.npy")[queries.sample]
            save(folder / f"context/context.{one.name}.npy", np.where(known[:, None], rows, 0).astype(np.int32))
        for unit in self.spec.clock:
            save(folder / f"context/clock.{unit}.npy", encode_clock(queries.time, unit).astype(np.int32))
        schema = TableSchema(numeric=self.numeric)
        nothing = encode_numeric([np.full(len(known), np.nan)] * len(self.numeric), schema, len(known))
        rows = load(self.folder / "context/numeric.npy")[queries.sample]
        save(folder / "context/numeric.npy", np.where(known[:, None], rows, nothing))

    def _mean_and_deviation(
        self, column: int, name: str, raw: NDArray[np.float64], part: NDArray[np.int8]
    ) -> NumericField:
        """Mean and deviation over the train samples in two passes of fixed blocks."""

        def finite() -> Iterator[NDArray[np.float64]]:
            for block in blocks(len(part), _BLOCK):
                values = raw[block, column][part[block] == TRAIN]
                yield values[np.isfinite(values)]

        count = sum(len(values) for values in finite())
        if count == 0:
            return NumericField(name=name, mean=0.0, std=1.0)
        mean = sum(float(values.sum()) for values in finite()) / count
        std = float(np.sqrt(sum(float(((values - mean) ** 2).sum()) for values in finite()) / count))
        return NumericField(name=name, mean=mean, std=std if std > 0 else 1.0)
