"""The features of items and of users, a row for each; the towers, the ranker and serving read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.category_columns import keys_of, kind_of
from shortlist.dataset.clean_events import Entities
from shortlist.dataset.columns import ColumnWriter, save
from shortlist.dataset.encode import encode_column, numbers_of, rows_of, values_of, vocabulary_of
from shortlist.dataset.fit_text import fit_text_encoder
from shortlist.dataset.text_vectors import sentence_vectors
from shortlist.features import CategoricalField, NumericField, TableSchema, TextField, encode_numeric
from shortlist.features.text import TextEncoder
from shortlist.features.vocabulary import Vocabulary
from shortlist.recipe import Categorical, Embedding, Text

_BLOCK = 1 << 16


@dataclass
class EntityFeatures:
    """Writes the features of the items, or of the users."""

    entities: Entities
    trained: NDArray[np.bool_]
    """[num_rows]; statistics and word counts are taken over these alone."""
    folder: Path
    """The features folder."""

    @property
    def vocabulary(self) -> Vocabulary:
        return self.entities.vocabulary

    @property
    def kind(self) -> str:
        return self.entities.kind

    def write(
        self, categorical: Sequence[Categorical], numeric: Sequence[str], text: Text | None = None
    ) -> TableSchema:
        """Write vocabularies and feature rows; an entity without a row in the table has unknown and missing values."""
        self.vocabulary.save(self._vocabularies() / f"{self.kind}.npy")
        save(self._rows("trained"), self.trained)
        fields = [self._categorical(spec) for spec in categorical]
        columns = [self._spread(numbers_of(self._column(name), f"{self.kind}s.{name}"), np.nan) for name in numeric]
        schema = TableSchema(
            categorical=fields,
            numeric=[
                mean_and_deviation(name, column[self.trained]) for name, column in zip(numeric, columns, strict=True)
            ],
            text=None if text is None else TextField(columns=text.columns, dim=text.dim),
        )
        save(self._rows("numeric"), encode_numeric(columns, schema, self.vocabulary.num_rows))
        return schema

    def write_embedding(self, spec: Embedding) -> int:
        """Write the given embeddings, float32 [num_rows, dim], zeros where there is none; how many there are.

        Raises ValueError when a list has another length or holds what is no finite number.
        """
        where = f"items.{spec.name}"
        lists = self._column(spec.name)
        if not isinstance(lists.dtype, pl.List | pl.Array):
            raise ValueError(f"{where}: an embedding is a list of numbers, this column is {lists.dtype}")
        lists = lists.cast(pl.List(pl.Float32))
        given = lists.is_not_null().to_numpy()
        lengths = lists.list.len().drop_nulls().unique().sort().to_list()
        if any(length != spec.dim for length in lengths):
            raise ValueError(
                f"{where}: the lists have {lengths[:5]} numbers, features.item.embedding.dim is {spec.dim}"
            )
        flat = lists.drop_nulls().explode(keep_nulls=True, empty_as_null=False).fill_null(float("nan")).to_numpy()
        if not np.isfinite(flat).all():
            bad = int((~np.isfinite(flat)).reshape(-1, spec.dim).any(axis=1).sum())
            raise ValueError(f"{where}: {bad} embeddings hold NaN or infinity; leave those out (null) in the source")
        given_ND, count = flat.reshape(-1, spec.dim), self.vocabulary.num_rows
        source = np.full(count, -1)
        source[self._table_rows[given]] = np.arange(len(given_ND))
        with ColumnWriter(self.folder / f"{self.kind}s") as columns:
            columns.add("embedding", np.float32, (count, spec.dim))
            for start in range(0, count, _BLOCK):
                at = source[start : start + _BLOCK]
                rows = np.zeros((len(at), spec.dim), np.float32)
                rows[at >= 0] = given_ND[at[at >= 0]]
                columns.write("embedding", rows)
        return int(given.sum())

    def write_text(self, spec: Text, seed: int) -> TextEncoder:
        """Write the TF-IDF vectors of the texts of all rows, float32 [num_rows, dim], zeros where there is none.

        The encoder is fitted on the texts of the trained rows alone.
        """
        texts = self._texts(spec)
        encoder = fit_text_encoder(texts[self.trained].tolist(), spec, seed, f"features.{self.kind}.text")
        with ColumnWriter(self.folder / f"{self.kind}s") as writer:
            writer.add("text", np.float32, (len(texts), spec.dim))
            for start in range(0, len(texts), _BLOCK):
                writer.write("text", encoder.encode(texts[start : start + _BLOCK].tolist()))
        return encoder

    def write_sentences(self, spec: Text, seed: int) -> None:
        """Write the vectors of a pretrained encoder, like those of `write_text`."""
        texts = self._texts(spec).tolist()
        vectors_ND = sentence_vectors(texts, self.trained, spec, seed, f"features.{self.kind}.text")
        save(self._rows("text"), vectors_ND)

    def _texts(self, spec: Text) -> NDArray[np.object_]:
        """The text of each row, [num_rows]; empty where there is none."""
        columns = [_words(self._column(name)) for name in spec.columns]
        described = pl.select(pl.concat_str(columns, separator=" ", ignore_nulls=True)).to_series().fill_null("")
        texts = np.full(self.vocabulary.num_rows, "", object)
        texts[self._table_rows] = described.to_numpy()
        return texts

    def write_titles(self, column: str | None) -> None:
        """Write the titles as one run of UTF-8 bytes and where each row's begin and end."""
        titles = np.full(self.vocabulary.num_rows, "", object)
        if column is not None:
            titles[self._table_rows] = self._column(column).cast(pl.String).fill_null("").to_numpy()
        texts = pl.Series(titles.tolist(), dtype=pl.String)
        save(self._rows("titles"), np.frombuffer("".join(texts.to_list()).encode(), np.uint8))
        save(self._rows("title_offsets"), np.append(0, np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64))))

    def _categorical(self, spec: Categorical) -> CategoricalField:
        where = f"{self.kind}s.{spec.name}"
        column = self._column(spec.name)
        kind = kind_of(column.dtype, where)
        values = column.to_frame().select(values_of(spec.name, column.dtype, spec.max_values))[spec.name]
        words = vocabulary_of(keys_of(values, kind), where)
        rows = np.zeros((self.vocabulary.num_rows, spec.max_values), np.int32)
        rows[self._table_rows] = encode_column(column, words, spec.max_values, kind)
        kept, row = keep_frequent(words, count_rows(rows[self.trained], words.num_rows), spec.min_count)
        kept.save(self._vocabularies() / f"{self.kind}.{spec.name}.npy")
        save(self._rows(spec.name), row[rows])
        return CategoricalField(
            name=spec.name, num_rows=kept.num_rows, dim=spec.dim, max_values=spec.max_values, kind=kind
        )

    def _column(self, name: str) -> pl.Series:
        return self.entities.table.select(name).collect()[name]

    @cached_property
    def _table_rows(self) -> NDArray[np.int32]:
        return rows_of(self._column(f"{self.kind}_id"), self.vocabulary)

    def _spread(self, column: NDArray[np.float64], missing: float) -> NDArray[np.float64]:
        spread = np.full(self.vocabulary.num_rows, missing)
        spread[self._table_rows] = column
        return spread

    def _rows(self, name: str) -> Path:
        return self.folder / f"{self.kind}s/{name}.npy"

    def _vocabularies(self) -> Path:
        path = self.folder / "vocabularies"
        path.mkdir(parents=True, exist_ok=True)
        return path


def _words(column: pl.Series) -> pl.Series:
    """A column as text; of a list its words."""
    if isinstance(column.dtype, pl.List | pl.Array):
        return column.cast(pl.List(pl.String)).list.join(" ")
    return column.cast(pl.String)


def count_rows(rows: NDArray[np.int32], num_rows: int) -> NDArray[np.int64]:
    """How often each vocabulary row occurs, [num_rows]."""
    return np.bincount(rows.ravel(), minlength=num_rows)


def keep_frequent(words: Vocabulary, count: NDArray[np.int64], min_count: int) -> tuple[Vocabulary, NDArray[np.int32]]:
    """What occurs at least `min_count` times in training, and at least once; and the new row of each old row."""
    keep = count[1:] >= max(min_count, 1)
    row = np.zeros(words.num_rows, np.int32)
    row[1:][keep] = np.arange(1, keep.sum() + 1)
    keys = words.keys[keep]
    if keys.dtype.kind == "S":
        keys = keys.astype(f"S{max(np.strings.str_len(keys).max(initial=1), 1)}")
    return Vocabulary(keys), row


def mean_and_deviation(name: str, values: NDArray[np.float64]) -> NumericField:
    """Mean and standard deviation of the finite values; 0 and 1 where there are none or they are all equal."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return NumericField(name=name, mean=0.0, std=1.0)
    std = float(finite.std())
    return NumericField(name=name, mean=float(finite.mean()), std=std if std > 0 else 1.0)
