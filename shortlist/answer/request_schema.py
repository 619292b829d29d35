"""The types of requests.

They are the single source of three things: requests are validated against them, `/openapi.json` is generated from
them, and the tables of docs/api.md contain their descriptions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter, with_config
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict

from shortlist.data.keys import MAX_KEY_BYTES
from shortlist.features import TableSchema
from shortlist.features.item_mask import MAX_LENGTH
from shortlist.recipe import Serving
from shortlist.recipe.fields import POSITIVE

MAX_INSTANCES = 64
"""Maximum number of queries in a request."""
MAX_ROWS = 20
"""Maximum number of rows of a page."""
MAX_TEXT = 20_000
"""Maximum length of a text column in characters."""

_CLOSED = ConfigDict(extra="forbid", strict=True)
_FIRST_MATCH = Field(union_mode="left_to_right")

Id = Annotated[
    Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | Annotated[str, Field(max_length=MAX_KEY_BYTES)], _FIRST_MATCH
]
"""A number and its decimal digits in a string are the same id."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Time = Annotated[Number, Field(ge=0, lt=2**40)]
"""Seconds since the epoch; the limit refuses milliseconds."""
Category = Annotated[Annotated[str, Field(max_length=MAX_KEY_BYTES)] | int | Number | bool | None, _FIRST_MATCH]
Text = Annotated[Annotated[str, Field(max_length=MAX_TEXT)] | int | Number | bool | None, _FIRST_MATCH]
MAX_BOOSTS, MAX_LIMITS = 16, 8
MAX_WEIGHT = 100


@dataclass(frozen=True)
class Columns:
    """Raw values by the column names of one table of a release."""

    table: TableSchema

    @property
    def names(self) -> list[str]:
        """The columns that may be sent, without duplicates."""
        texts = [] if self.table.text is None else self.table.text.columns
        numbers = [one.name for one in self.table.numeric]
        return list(dict.fromkeys([*(one.name for one in self.table.categorical), *numbers, *texts]))

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """An object of these columns and no others, or null."""
        texts = [] if self.table.text is None else self.table.text.columns
        kinds: dict[str, Any] = dict.fromkeys(texts, _text())
        kinds |= {one.name: _numeric() for one in self.table.numeric}
        # A column that is both a category and part of a text has the shorter limit of the category.
        kinds |= {one.name: _category(one.num_rows - 1, one.max_values) for one in self.table.categorical}
        fields = {
            name: core_schema.typed_dict_field(handler.generate_schema(kinds[name]), required=False)
            for name in self.names
        }
        config = core_schema.CoreConfig(strict=True)
        columns = core_schema.typed_dict_schema(fields, extra_behavior="forbid", config=config)
        return core_schema.nullable_schema(columns)


@dataclass(frozen=True)
class Weights:
    """A weight for each objective of a release."""

    names: Sequence[str] = (POSITIVE,)

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """An object of these objectives and no others, or null."""
        weight = handler.generate_schema(
            Annotated[Number, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT, description="A weight.", examples=[0.5])]
        )
        fields = {name: core_schema.typed_dict_field(weight, required=False) for name in self.names}
        config = core_schema.CoreConfig(strict=True)
        weights = core_schema.typed_dict_schema(fields, extra_behavior="forbid", config=config)
        return core_schema.nullable_schema(weights)


ONE_OBJECTIVE = Weights()


def request_types(
    limits: Serving, of_user: Columns, of_context: Columns, weights: Weights = ONE_OBJECTIVE
) -> tuple[TypeAdapter[Any], TypeAdapter[Any]]:
    """The body of a V1 request and one query, for the limits, the columns and the objectives of a release."""
    ids = Annotated[list[Id], Field(max_length=limits.max_history, fail_fast=True)]

    @with_config(_CLOSED)
    class Boost(TypedDict):
        """Items whose scores are raised or lowered."""

        where: Annotated[
            str, Field(description="An expression over the items' attributes.", examples=["label = 'own'"])
        ]
        by: Annotated[
            Number,
            Field(
                ge=-100,
                le=100,
                description="How much to add to the score, in standard deviations of the scores of the query's "
                "candidates. Negative values lower it.",
                examples=[0.5],
            ),
        ]

    @with_config(_CLOSED)
    class Rules(TypedDict, total=False):
        """Rules of one list, in addition to those of the recipe. Every key may be left out or null."""

        where: Annotated[
            str | None,
            Field(
                max_length=MAX_LENGTH,
                description="Only items for which this expression over their attributes is true, in addition to the "
                "recipe's `rules.where`.",
                examples=["genre = 'jazz' AND year >= 1990"],
            ),
        ]
        only: Annotated[
            ids | None,
            Field(
                description="Only these item ids. Ids that the release does not know are ignored.", examples=[[17, 4]]
            ),
        ]
        pin: Annotated[
            Annotated[list[Id], Field(max_length=limits.max_k, fail_fast=True)] | None,
            Field(
                description="These items first, in this order, even if the user has seen them. An item that is not "
                "available or that the release does not know is ignored.",
                examples=[[1042]],
            ),
        ]
        boost: Annotated[
            Annotated[list[Boost], Field(max_length=MAX_BOOSTS)] | None,
            Field(description="Items whose scores are raised or lowered, in addition to the recipe's."),
        ]
        at_most: Annotated[
            Annotated[dict[str, Annotated[int, Field(ge=1)]], Field(max_length=MAX_LIMITS)] | None,
            Field(
                description="The largest number of items with the same value of a category. Replaces the recipe's.",
                examples=[{"artist": 2}],
            ),
        ]
        diversity: Annotated[
            Number | None,
            Field(
                ge=0,
                le=1,
                description="Weight of the dissimilarity of the listed items against their scores, from 0 to 1 "
                "(maximal marginal relevance). Replaces the recipe's.",
                examples=[0.3],
            ),
        ]

    class Who(TypedDict, total=False):
        user_id: Annotated[
            Id | None,
            Field(
                description="The user. An id that the release does not know is treated as no user: the list is made "
                "from `history` or `user`, otherwise from popularity.",
                examples=[7, "4876769046116846438"],
            ),
        ]
        history: Annotated[
            ids | None,
            Field(
                description="Item ids in time order, the latest last. It replaces the history that the release has of "
                "the user. `[]` is an empty history: the list is made from the user's profile if there is one, "
                "otherwise from popularity. Left out or null, the stored history is read. At most "
                f"{limits.max_history:,} ids (`serving.max_history`); items that the release does not know are left "
                "out and counted in `unknown_items`.",
                examples=[[1003, 1017]],
            ),
        ]
        history_times: Annotated[
            Annotated[list[Time], Field(max_length=limits.max_history, fail_fast=True)] | None,
            Field(
                description="The time of each event of `history`, in seconds since 1970-01-01 00:00 UTC, in ascending "
                "order: as many as ids. Releases whose recipe has repeats `by: time` read them, others ignore them. "
                "Left out or null, they are not known: docs/candidates.md says what is assumed.",
                examples=[[1767052800, 1767139200]],
            ),
        ]
        user: Annotated[
            dict[str, Any],
            of_user,
            Field(
                description="Raw user columns by name, for example of a new user. Each column replaces the value that "
                "the release has of the user; the others stay.",
            ),
        ]
        context: Annotated[
            dict[str, Any],
            of_context,
            Field(description="Raw context columns by name. A column that is left out or null is missing."),
        ]

    class Options(TypedDict, total=False):
        k: Annotated[
            int | None,
            Field(
                ge=1,
                le=limits.max_k,
                description=f"How many items, 1 to {limits.max_k} (`serving.max_k`). Left out or null: "
                f"{min(limits.default_k, limits.max_k)} (`serving.default_k`). A list is shorter only when the "
                "catalogue has no more.",
                examples=[10],
            ),
        ]
        exclude: Annotated[
            ids | None,
            Field(
                description=f"Item ids to leave out, at most {limits.max_history:,}. Ids that the release "
                "does not know are counted in `unknown_exclude`.",
                examples=[[1042]],
            ),
        ]
        item_id: Annotated[
            Id | None,
            Field(
                description="Recommend items similar to this one, instead of items for the user: its nearest "
                "neighbours by the vectors of the candidate tower. Items that the user has seen are left out as "
                "always. For an id that the release does not know the list is made from popularity.",
                examples=[1042],
            ),
        ]
        sources: Annotated[
            list[Annotated[str, Field(max_length=40)]] | None,
            Field(
                min_length=1,
                max_length=32,
                fail_fast=True,
                description="Only candidates of these sources of the recipe (`candidates.sources` and "
                "`candidates.unknown`), and `popularity`: docs/candidates.md. The list is shorter when they have fewer "
                "than `k` items.",
                examples=[["new_items"]],
            ),
        ]
        similar_to_last: Annotated[
            bool | None,
            Field(
                description='As `item_id`, with the newest item of the user\'s history: "because you took" it. The '
                "answer names it in `item`. Without a history the list is made from popularity."
            ),
        ]
        rules: Annotated[Rules | None, Field(description="Rules of this list: docs/rules.md.")]
        objective: Annotated[
            dict[str, Any],
            weights,
            Field(
                description="The weights of `positive` and of the labels of the release, "
                f"-{MAX_WEIGHT} to {MAX_WEIGHT}, instead of the recipe's `ranking.objective`: docs/objectives.md. "
                "Those that are left out are 0, and one must not be.",
                examples=[{"positive": 1}],
            ),
        ]

    @with_config(_CLOSED)
    class Row(Options, total=False):
        """One list of a page. A key that is left out or null is that of the query; `exclude` adds to the query's."""

        name: Annotated[
            Annotated[str, Field(max_length=MAX_KEY_BYTES)] | None,
            Field(description="A name of the row, which the answer repeats.", examples=["for you"]),
        ]

    @with_config(_CLOSED)
    class Query(Who, Options, total=False):
        """A request for one list, or for the rows of a page. Every key may be left out or null."""

        trace: Annotated[
            bool | None,
            Field(
                description="Whether the prediction reports what each stage did, summed over the queries of the "
                "request."
            ),
        ]
        time: Annotated[
            Time | None,
            Field(
                description="Time of the request, in seconds since 1970-01-01 00:00 UTC. Left out or null: now. "
                "It must be less than 2^40, so that milliseconds are refused.",
                examples=[1767225600],
            ),
        ]
        rows: Annotated[
            Annotated[list[Row], Field(min_length=1, max_length=MAX_ROWS, fail_fast=True)] | None,
            Field(
                description=f"The rows of a page, at most {MAX_ROWS}, in place of one list. An item of one row is in "
                "no later row, and each row is filled up with others. The other keys of the query hold for all rows.",
                examples=[[{"name": "for you", "k": 10}, {"name": "because", "similar_to_last": True}]],
            ),
        ]

    @with_config(_CLOSED)
    class Request(TypedDict):
        """The body of a V1 request."""

        instances: Annotated[
            list[Query],
            Field(
                min_length=1,
                max_length=MAX_INSTANCES,
                fail_fast=True,
                description=f"The queries, 1 to {MAX_INSTANCES}. All are answered, or the request is refused.",
                examples=[[{"user_id": 7, "k": 10}]],
            ),
        ]

    return TypeAdapter(Request), TypeAdapter(Query)


def _category(num_known: int, max_values: int) -> Any:
    first = f", of which the first {max_values} are read" if max_values > 1 else ", of which the first is read"
    return Annotated[
        Category | Annotated[list[Category], Field(fail_fast=True)],
        Field(description=f"A category or a list of them{first}; the release knows {num_known:,}."),
    ]


def _numeric() -> Any:
    return Annotated[Number | None, Field(description="A number.")]


def _text() -> Any:
    return Annotated[
        Text | Annotated[list[Text], Field(fail_fast=True)],
        Field(description=f"Text of at most {MAX_TEXT:,} characters, or a list of texts."),
    ]
