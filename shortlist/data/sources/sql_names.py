"""The functions and types of Polars SQL, and replacements for those of other databases."""

import difflib

FUNCTIONS_OF = {
    "Numbers": "ABS, ACOS, ASIN, ATAN, ATAN2, CBRT, CEIL, COS, DEGREES, DIV, EXP, FLOOR, LN, LOG, LOG10, LOG1P, LOG2, "
    "MOD, PI, POW, RADIANS, ROUND, SIGN, SIN, SQRT, TAN, TRUNC",
    "Choices": "COALESCE, GREATEST, IF, IFNULL, LEAST, NULLIF",
    "Text": "CHAR_LENGTH, CONCAT, CONCAT_WS, ENDS_WITH, INITCAP, LEFT, LENGTH, LOWER, LPAD, LTRIM, NORMALIZE, "
    "OCTET_LENGTH, REGEXP_LIKE, REGEXP_REPLACE, REPLACE, REVERSE, RIGHT, RPAD, RTRIM, SPLIT_PART, STARTS_WITH, "
    "STRING_TO_ARRAY, STRPOS, SUBSTR, TRIM, UPPER",
    "Times": "DATE, DATE_PART, DATETIME, DAY, HOUR, MINUTE, MONTH, STRFTIME, STRPTIME, TIME, TIMESTAMP, WEEK, YEAR",
    "Lists": "ARRAY_CONTAINS, ARRAY_GET, ARRAY_LENGTH, ARRAY_MEAN, ARRAY_REVERSE, ARRAY_SUM, ARRAY_TO_STRING, "
    "ARRAY_UNIQUE",
}
"""Functions that compute a value for each row from its columns, in the order of the documentation."""
FUNCTIONS = [name for names in FUNCTIONS_OF.values() for name in names.split(", ")]

_OF_ALL_ROWS = (
    "ARRAY_AGG, AVG, CORR, COUNT, COVAR, COVAR_POP, FIRST, GROUP_CONCAT, LAST, MEDIAN, QUANTILE_CONT, QUANTILE_DISC, "
    "STDDEV, STDDEV_SAMP, STDEV, STRING_AGG, SUM, VAR, VARIANCE, VAR_SAMP"
)
AGGREGATES = dict.fromkeys(_OF_ALL_ROWS.split(", "), "") | {
    "MAX": "; the largest of several columns is GREATEST(x, y)",
    "MIN": "; the smallest of several columns is LEAST(x, y)",
}
"""Functions that aggregate rows, each with an additional hint."""

OF_OTHER_SHAPE = {
    "COLUMNS": "means several columns; name one",
    "UNNEST": "makes rows; name the column of lists in `explode`",
}
"""Functions that do not return one value for each row, each with its meaning and a replacement."""

TYPES = "BIGINT, INTEGER, SMALLINT, DOUBLE, FLOAT, DECIMAL, VARCHAR, BOOLEAN, DATE, TIMESTAMP, TIME"

_CAST = dict.fromkeys(("INT", "INTEGER", "BIGINT"), "BIGINT") | dict.fromkeys(("FLOAT", "DOUBLE"), "DOUBLE")
_CAST |= dict.fromkeys(("STR", "STRING", "TEXT", "TO_CHAR"), "VARCHAR")
_INSTEAD = {
    "CONTAINS": "write STRPOS(x, 'part') > 0",
    "DATEDIFF": "write EXTRACT(epoch FROM x) - EXTRACT(epoch FROM y), in seconds",
    "DATE_ADD": "write x + INTERVAL '1 day'",
    "DATE_DIFF": "write EXTRACT(epoch FROM x) - EXTRACT(epoch FROM y), in seconds",
    "DECODE": "write CASE WHEN x = 1 THEN 'a' ELSE 'b' END",
    "EPOCH": "write EXTRACT(epoch FROM x)",
    "ISNULL": "write x IS NULL",
    "LEN": "write LENGTH(x) for text, ARRAY_LENGTH(x) for a list",
    "NVL": "write COALESCE(x, y)",
    "REGEXP_EXTRACT": "write REGEXP_REPLACE(x, '^.*?([0-9]+).*$', '\\1')",
    "SPLIT": "write STRING_TO_ARRAY(x, '|')",
    "STRING_SPLIT": "write STRING_TO_ARRAY(x, '|')",
    "TO_DATE": "write STRPTIME(x, '%d.%m.%Y')",
    "TO_TIMESTAMP": "write STRPTIME(x, '%d.%m.%Y %H:%M')",
    "UNIX_TIMESTAMP": "write EXTRACT(epoch FROM x)",
} | {name: f"write CAST(x AS {kind})" for name, kind in _CAST.items()}
_CONSTRUCTS = {
    "AT TIME ZONE": "AT TIME ZONE needs to know the type: write CAST(x AS TIMESTAMP) AT TIME ZONE 'Europe/Berlin'",
    "BitwiseXor": "^ is not supported; a power is POW(x, 2)",
    "DATE_TRUNC": "DATE_TRUNC is not supported; a day is CAST(x AS DATE), a month STRFTIME(x, '%Y-%m')",
    "Interval": "INTERVAL is not supported here; compare with a date, like x >= DATE '2024-01-31'",
    "Overlay": "OVERLAY is not supported; write REGEXP_REPLACE(x, 'old', 'new')",
    "PGOverlap": "&& is not supported; write AND",
    "Placeholder": "placeholders such as ?, :x and $1 are not supported; write the value",
    "SimilarTo": "SIMILAR TO is not supported; write REGEXP_LIKE(x, '^a|b$')",
    "Tuple": "several values in parentheses are not supported; write x = 1 AND y = 2",
    "TypedString": "a date is written DATE '2024-01-31', a time TIMESTAMP '2024-01-31 10:00:00'",
}


def instead_of(name: str) -> str:
    """What to write instead of a function that does not exist."""
    if name in _INSTEAD:
        return _INSTEAD[name]
    close = difflib.get_close_matches(name.replace("LIST_", "ARRAY_"), FUNCTIONS, n=1, cutoff=0.7)
    return f"did you mean {close[0]!r}?" if close else "docs/expressions.md lists those that are"


def instead_of_construct(node: str) -> str:
    """What to write instead of a construct, by its name in the parser's tree."""
    return _CONSTRUCTS.get(node, f"{node} is not supported by Polars SQL; docs/expressions.md lists what is")
