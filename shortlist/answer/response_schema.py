"""The types of responses, from which `/openapi.json` is generated and docs/api.md takes its descriptions."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

Stage = Literal["features", "retrieve", "rank", "total"]
Source = Literal["history", "profile", "item", "popularity"]

_CLOSED = ConfigDict(extra="forbid", strict=True)


@with_config(_CLOSED)
class Item(TypedDict):
    """One item of a list."""

    item_id: Annotated[
        int | str,
        Field(
            description="Text where the data's item ids are text. Otherwise a number, or its digits in a string when "
            "it is 2^53 or more in absolute value, or when the query writes an integer id as a string.",
            examples=[1042],
        ),
    ]
    title: Annotated[str, Field(description="The title column of the items; empty where there is none.")]
    score: Annotated[
        float,
        Field(
            description="What the list is ordered by, the largest first: the ranker's score, or `retrieval_score` "
            "where nothing was ranked, plus boosts. With `diversity` the order differs from that of the scores, and "
            "pinned items get the highest score of the others. Compare it within one list only."
        ),
    ]
    retrieval_score: Annotated[
        float,
        Field(
            description="Inner product of query and item, or the item's share of all events where popularity found it: "
            "in lists of `source` `popularity`, and for the last items where the towers know fewer than `k`; 0 for "
            "pinned items."
        ),
    ]
    source: Annotated[
        str,
        Field(
            description="The candidate source that gave the item its place: `pinned`, `similar_items` (of `item_id`), "
            "`two_tower` (the user's history or profile), another source of the recipe by its name, or `popularity`.",
            examples=["two_tower"],
        ),
    ]
    found_by: NotRequired[
        Annotated[list[str], Field(description="If `trace` is true, all candidate sources that found the item.")]
    ]
    explored: NotRequired[
        Annotated[
            bool,
            Field(description="With `candidates.explore`: whether exploration put the item here: docs/candidates.md."),
        ]
    ]
    propensity: NotRequired[
        Annotated[
            float,
            Field(
                description="With `candidates.explore`: the probability with which this item is at this place, for "
                "estimates from logged answers."
            ),
        ]
    ]


@with_config(_CLOSED)
class Similar(TypedDict):
    """The item that a list is similar to."""

    item_id: Annotated[int | str, Field(description="As in `items`.")]
    title: Annotated[str, Field(description="As in `items`.")]


@with_config(_CLOSED)
class Prediction(TypedDict):
    """The answer to one query."""

    items: Annotated[list[Item], Field(description="The list, best first.")]
    release: Annotated[str, Field(description="The content hash of the release that answered.")]
    user: Annotated[
        Literal["known", "unknown"],
        Field(description="Whether the release knows `user_id`; `unknown` also when none was sent."),
    ]
    source: Annotated[
        Source,
        Field(
            description="What the list was made from: a `history` (sent or stored), the `profile` of a user without "
            "one (sent in `user` or stored), an `item` (`item_id`), or `popularity` when nothing is known: the "
            "sources of `candidates.unknown`."
        ),
    ]
    unknown_items: Annotated[
        int, Field(ge=0, description="Ids of `history` that the release does not know. They were left out.")
    ]
    unknown_exclude: Annotated[
        int, Field(ge=0, description="Ids of `exclude` that the release does not know. They excluded nothing.")
    ]
    unknown_rules: Annotated[
        int, Field(ge=0, description="Ids of `rules.pin` and `rules.only` that the release does not know.")
    ]
    unknown_values: Annotated[
        dict[str, list[str | int | float | bool]],
        Field(
            description="Categories of `user` and `context` that the release does not know, or that were too rare in "
            "its data, by column. They were read as missing.",
            examples=[{"context.device": ["fridge"]}],
        ),
    ]
    degraded: Annotated[
        Literal[False] | str,
        Field(
            description="False, or why the list is in the order of retrieval: a word (`timeout`, `unreachable`, "
            "`refused`, `other_release`, `bad_answer`), a colon and a sentence."
        ),
    ]
    timings_ms: Annotated[
        dict[Stage, float],
        Field(
            description="Milliseconds of the whole request, all its queries together: `features`, `retrieve`, "
            "`rank` (the wait for the predictor) and `total`."
        ),
    ]
    name: NotRequired[Annotated[str, Field(description="The name of the row, if it has one.")]]
    item: NotRequired[
        Annotated[Similar, Field(description="The item of `item_id` or `similar_to_last`, if there is one.")]
    ]
    trace: NotRequired[
        Annotated[
            dict[str, dict[str, Any]],
            Field(
                description="If `trace` is true, per stage: queries, items in and out, items dropped by reason, and "
                "milliseconds."
            ),
        ]
    ]


@with_config(_CLOSED)
class Page(TypedDict):
    """The answer to a query with `rows`."""

    rows: Annotated[list[Prediction], Field(description="The prediction of each row, in their order.")]


@with_config(_CLOSED)
class Answer(TypedDict):
    """The body of a V1 answer."""

    predictions: Annotated[
        list[Prediction | Page], Field(description="One a query, in their order; of a query with `rows`, a page.")
    ]


@with_config(_CLOSED)
class Refusal(TypedDict):
    """The body of every answer that is not 200."""

    error: Annotated[
        str,
        Field(
            description="One readable sentence: the location, the value found and what is allowed.",
            examples=["instances[0].k is 0; it must be a whole number from 1 to 200 (serving.max_k)"],
        ),
    ]
