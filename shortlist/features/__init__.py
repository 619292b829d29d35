"""The feature code of training and serving: vocabularies, schema, store and text."""

from shortlist.features.encode import encode_categorical, encode_clock, encode_numeric
from shortlist.features.queries import Context, PackedQueries, Queries, gather_windows
from shortlist.features.schema import (
    SCHEMA_VERSION,
    CategoricalField,
    FeatureSchema,
    NumericField,
    TableSchema,
    TextField,
)
from shortlist.features.store import FeatureStore

__all__ = [
    "SCHEMA_VERSION",
    "CategoricalField",
    "Context",
    "FeatureSchema",
    "FeatureStore",
    "NumericField",
    "PackedQueries",
    "Queries",
    "TableSchema",
    "TextField",
    "encode_categorical",
    "encode_clock",
    "encode_numeric",
    "gather_windows",
]
