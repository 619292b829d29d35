"""Arrow types of databases, converted to types that a Parquet file and the recipe's expressions know."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from shortlist.data.sources.errors import SourceError, named

_MAX_DIGITS = 38
_MAX_INTEGER_DIGITS = 18
_NOT_FINITE = ["nan", "inf", "-inf", "infinity", "-infinity"]


def plain_schema(schema: pa.Schema, where: str) -> pa.Schema:
    """The types that the columns are stored in.

    UUIDs stay UUIDs, which are read as text. JSON is text. `numeric(p, s)` is a decimal, a whole number up to 18
    digits if s is 0; `numeric` without digits is a double. Raises SourceError for a type without a meaning here, and
    for two columns with one name.
    """
    twice = [one for one, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise SourceError(f"{where}: the query gives the column {named(twice)} twice; rename one with AS")
    return pa.schema([pa.field(field.name, _plain(field, where)) for field in schema])


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch in the types of `plain_schema`."""
    columns = [_converted(batch.column(at), field.type) for at, field in enumerate(schema)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _plain(field: pa.Field, where: str) -> pa.DataType:
    kind = field.type
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name == "arrow.uuid":
            return kind
        if getattr(kind, "type_name", "") == "numeric":
            return _numeric(field)
        if pa.types.is_string(kind.storage_type) or pa.types.is_large_string(kind.storage_type):
            return pa.string()
        raise _no_meaning(field, getattr(kind, "type_name", kind.extension_name), where)
    if pa.types.is_interval(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind):
        raise _no_meaning(field, str(kind), where)
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_field, where))
    return kind


def _no_meaning(field: pa.Field, kind: str, where: str) -> SourceError:
    return SourceError(
        f"{where}: the column {field.name!r} has the type {kind}; write CAST({field.name} AS text) in the query, or "
        "leave it out"
    )


def _numeric(field: pa.Field) -> pa.DataType:
    modifier = int((field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1")) - 4
    digits, scale = modifier >> 16, modifier & 0x7FF
    if modifier < 0 or digits > _MAX_DIGITS or scale > digits:
        return pa.float64()
    return pa.int64() if not scale and digits <= _MAX_INTEGER_DIGITS else pa.decimal128(digits, scale)


def _converted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if isinstance(column, pa.ListArray):
        values = _converted(column.values, kind.value_type)
        return pa.ListArray.from_arrays(column.offsets, values, type=kind, mask=column.is_null())
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind):
        # PostgreSQL's numeric may be NaN or infinite, which no other number is.
        odd = pc.is_in(pc.utf8_lower(column), value_set=pa.array(_NOT_FINITE))
        column = pc.if_else(odd, pa.scalar(None, column.type), column)
    return column.cast(kind)
