"""Generates a deterministic music log in Yambda's flat layout, with structure that a model can learn, for trials.

The same settings and seed give the same files. The structure:

- *Taste.* Artists are placed on a ring; close artists are similar, and popular ones have a larger arc. A listener has
  two positions on the ring, one for the morning and one for the evening.
- *Momentum.* With each listen the position moves, always in the same direction, so the next item is just ahead of the
  last listens: the order of a history is more informative than its set, and a session is coherent.
- *Popularity.* A share of every listener's listens comes from a chart and is played less fully. The items of the chart
  rise and fall.
- *Drift.* Three tenths of the items are released during the log; half the listens prefer an artist's newest items.
- *Feedback.* Items far from the position, or from the chart, are skipped more often. Likes follow full plays, of items
  close to the position or, with `likes: long`, of long tracks, which are played as often as others.

The share `dirty` of the rows has errors to detect: null listeners, null items, unknown items, implausible played
ratios, times far in the future, and exact duplicates.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.sources.locate import Found
from shortlist.data.sources.raw import RawTables
from shortlist.data.sources.synthetic_catalogue import (
    DAY,
    Catalogue,
    Floats,
    Ints,
    chart,
    make_catalogue,
    released,
    write_items,
)
from shortlist.data.sources.yambda import read_yambda
from shortlist.recipe import Recipe, SyntheticSource, YambdaSource

START = 1_735_689_600
"""2025-01-01: real dates are easier to read than Yambda's unknown origin."""
FUTURE = 4_102_444_800
"""2100-01-01."""
_PUBLISHED_USERS = 1_000_000
_UNKNOWN = 1_000_000_000
"""Added to an item's id to make an id that is in no mapping."""
_BLOCK = 1 << 20
_SESSION_LISTENS = 12
_STEP = 0.35
"""Movement of the position with each listen, in artists of average popularity."""
_SPREAD = 1.2
"""Standard deviation of the listens around the position, in the same unit."""
_CHART, _REPEAT = 0.15, 0.12
"""Shares of listens from the chart and of repeats."""
_LIKED, _STEEP = 0.7, 4.0
"""Of likes of long tracks: their largest probability, and how sharply it rises with the length."""


def read_synthetic(recipe: Recipe, source: SyntheticSource, scratch: Path) -> RawTables:
    """Write the log below `scratch` and read it like Yambda."""
    folder = scratch / "yambda"
    write_log(folder, source, recipe.seed)
    raw = read_yambda(recipe, YambdaSource(kind="yambda", path=str(folder)), scratch)
    # The scratch folder is deleted, so its name must not be shown.
    return RawTables(
        events=[replace(table, name=_shown(table.name, folder)) for table in raw.events],
        items=None if raw.items is None else replace(raw.items, name=_shown(raw.items.name, folder)),
        files=[Found(file.path, _shown(file.name, folder)) for file in raw.files],
    )


def _shown(name: str, folder: Path) -> str:
    return name.replace(str(folder), "synthetic", 1)


def write_log(folder: Path, source: SyntheticSource, seed: int) -> dict[str, int]:
    """Write Yambda's flat layout below `folder`; returns the number of dirty rows of each kind."""
    source, rng = source.scaled(), np.random.default_rng(seed)
    catalogue = make_catalogue(source, rng)
    num_dirty = round(source.events * source.dirty)
    num_sound = source.events - num_dirty // 6  # a sixth of the dirty rows are duplicates
    activity_U = rng.lognormal(0.0, 0.8, source.users)
    num_U = rng.multinomial(num_sound, activity_U / activity_U.sum()).astype(np.int64)
    uid_U = np.sort(rng.permutation(max(_PUBLISHED_USERS, 2 * source.users))[: source.users] + 1)
    cuts = np.searchsorted(np.cumsum(num_U), np.arange(_BLOCK, num_U.sum(), _BLOCK), "left")
    blocks = [block for block in np.split(np.arange(source.users), np.unique(cuts)) if num_U[block].sum()]
    listens = pl.concat([_listens(catalogue, uid_U[block], num_U[block], source.days, rng) for block in blocks])
    feedback = _feedback(listens, source.likes, rng)
    listens, dirt = _with_dirt(listens.drop("close"), num_dirty, rng)
    flat = folder / "flat/50m"
    flat.mkdir(parents=True, exist_ok=True)
    listens.write_parquet(flat / "listens.parquet", compression="lz4")
    for name, frame in feedback.items():
        frame.write_parquet(flat / f"{name}.parquet", compression="lz4")
    write_items(folder, catalogue, rng)
    return dirt


def _listens(catalogue: Catalogue, uid_U: Ints, num_U: Ints, days: int, rng: np.random.Generator) -> pl.DataFrame:
    """The listens of some listeners, in the published order; `close`, 0 to 1, is their similarity to the taste."""
    user_N = np.repeat(np.arange(len(num_U)), num_U)
    first_U = np.cumsum(num_U) - num_U
    start_N, evening_N = _sessions(user_N, first_U, num_U, days, rng)
    count = len(user_N)
    # The position: each listener has a walk for the morning and one for the evening, which move with each listen.
    behind_N = np.stack([_count_before(~evening_N, first_U, user_N), _count_before(evening_N, first_U, user_N)], 1)
    walk_N = behind_N[np.arange(count), evening_N.astype(np.int64)]
    arc = 1.0 / len(catalogue.ring_A)
    place_U2 = rng.random((len(num_U), 2))
    away_N = rng.normal(0.0, _SPREAD, count)
    place_N = place_U2[user_N, evening_N.astype(np.int64)] + arc * (_STEP * walk_N + away_N)
    artist_N = np.minimum(np.searchsorted(catalogue.ring_A, place_N % 1.0), len(catalogue.ring_A) - 1)
    item_N = released(catalogue, artist_N, start_N, rng)
    chart_N = rng.random(count) < _CHART
    item_N = np.where(chart_N, chart(catalogue, start_N, rng), item_N)
    # A repeat copies one of the last listens, which may be from the chart but is never a repeat itself.
    back_N = np.minimum(rng.geometric(0.05, count), np.arange(count) - first_U[user_N])
    repeat_N = (rng.random(count) < _REPEAT) & (back_N > 0)
    item_N = np.where(repeat_N, item_N[np.arange(count) - back_N], item_N)
    close_N = np.where(chart_N & ~repeat_N, 0.35, np.exp(-0.5 * (away_N / (2 * _SPREAD)) ** 2))
    ratio_N = _played_ratio(close_N, rng)
    length_N = catalogue.length_I[item_N]
    spent_N = length_N * np.minimum(ratio_N, 100) // 100 + 5
    time_N = start_N + _sum_before(spent_N, start_N, user_N)
    frame = pl.DataFrame(
        {
            "uid": uid_U[user_N].astype(np.uint32),
            "timestamp": (START + time_N // 5 * 5).astype(np.uint32),
            "item_id": catalogue.id_I[item_N].astype(np.uint32),
            "is_organic": (rng.random(count) < np.where(chart_N, 0.25, 0.6)).astype(np.uint8),
            "played_ratio_pct": ratio_N.astype(np.uint16),
            "track_length_seconds": length_N.astype(np.uint32),
            "close": close_N,
        }
    )
    return frame.sort("uid", "timestamp", maintain_order=True).unique(
        ["uid", "timestamp", "item_id"], keep="first", maintain_order=True
    )


def _sessions(
    user_N: Ints, first_U: Ints, num_U: Ints, days: int, rng: np.random.Generator
) -> tuple[Ints, NDArray[np.bool_]]:
    """Start of the session of every listen (seconds), and whether it is in the evening; in time order per listener."""
    breaks_N = rng.random(len(user_N)) < 1 / _SESSION_LISTENS
    breaks_N[first_U[num_U > 0]] = True
    session_N = np.cumsum(breaks_N) - 1
    user_S = user_N[breaks_N]
    # Most listeners are present from the first day; some join later, a few just before the end of the log.
    joined_U = np.where(rng.random(len(num_U)) < 0.3, rng.random(len(num_U)) * 0.97, 0.0)
    day_S = np.floor(days * (joined_U[user_S] + (1 - joined_U[user_S]) * rng.random(len(user_S))))
    evening_S = rng.random(len(user_S)) < 0.6
    hour_S = np.clip(rng.normal(np.where(evening_S, 20.0, 8.5), 1.5), 0.0, 23.9)
    start_S = ((day_S * 24 + hour_S) * 3600).astype(np.int64)
    order_S = np.lexsort((start_S, user_S))
    return start_S[order_S][session_N], evening_S[order_S][session_N]


def _played_ratio(close_N: Floats, rng: np.random.Generator) -> Ints:
    """Percent played: full, partial or skipped; a few full plays include a rewind."""
    count = len(close_N)
    draw_N = rng.random(count)
    full_N, part_N = draw_N < 0.15 + 0.65 * close_N, draw_N < 0.25 + 0.68 * close_N
    whole_N = np.where(rng.random(count) < 0.01, rng.integers(101, 160, count), 100)
    ratio_N: Ints = np.where(
        full_N, whole_N, np.where(part_N, rng.integers(50, 100, count), rng.integers(0, 50, count))
    )
    return ratio_N


def _count_before(chosen_N: NDArray[np.bool_], first_U: Ints, user_N: Ints) -> Ints:
    """Number of a listener's earlier rows that are chosen."""
    before_N: Ints = np.cumsum(chosen_N) - chosen_N
    at_start_U: Ints = np.append(before_N, 0)[first_U]
    return before_N - at_start_U[user_N]


def _sum_before(spent_N: Ints, start_N: Ints, user_N: Ints) -> Ints:
    """Seconds spent in the same session before each listen."""
    before_N: Ints = np.cumsum(spent_N) - spent_N
    new_N = np.ones(len(start_N), bool)
    new_N[1:] = (start_N[1:] != start_N[:-1]) | (user_N[1:] != user_N[:-1])
    first_N: Ints = before_N[new_N][np.cumsum(new_N) - 1]
    return before_N - first_N


def _feedback(
    listens: pl.DataFrame, likes: Literal["close", "long"], rng: np.random.Generator
) -> dict[str, pl.DataFrame]:
    """Likes of full plays and dislikes of skips, within the length of the track; one in ten is withdrawn."""
    draw, near = rng.random(len(listens)), listens["close"].to_numpy()
    ratio = listens["played_ratio_pct"].to_numpy()
    after = (rng.random(len(listens)) * listens["track_length_seconds"].to_numpy()) // 5 * 5
    acted = listens.select("uid", (pl.col("timestamp") + pl.Series(after).cast(pl.UInt32)), "item_id", "is_organic")
    liking = 0.05 * near if likes == "close" else _of_long_tracks(listens["track_length_seconds"].to_numpy())
    chosen = {"likes": (ratio >= 100) & (draw < liking), "dislikes": (ratio < 50) & (draw < 0.03 * (1 - near))}
    found = {name: acted.filter(pl.Series(rows)).sort("uid", "timestamp") for name, rows in chosen.items()}
    for name in ("likes", "dislikes"):
        taken = found[name].filter(pl.Series(rng.random(len(found[name])) < 0.1))
        found[f"un{name}"] = taken.with_columns(pl.col("timestamp") + pl.lit(5 * DAY, pl.UInt32)).sort(
            "uid", "timestamp"
        )
    return found


def _of_long_tracks(seconds_N: NDArray[np.integer]) -> Floats:
    """The probability of a like, by the length of the track alone: near 0 for short ones, up to `_LIKED` for long."""
    log_N = np.log(np.maximum(seconds_N, 1).astype(np.float64))
    longer_N = (log_N - log_N.mean()) / max(log_N.std(), 1e-9)
    liking_N: Floats = _LIKED / (1 + np.exp(-_STEEP * (longer_N - 0.5)))
    return liking_N


def _with_dirt(listens: pl.DataFrame, count: int, rng: np.random.Generator) -> tuple[pl.DataFrame, dict[str, int]]:
    """Corrupt some listens, each in one way, and duplicate some; the result is in the published order."""
    wrong = {
        "null_user": pl.lit(None, pl.UInt32).alias("uid"),
        "null_item": pl.lit(None, pl.UInt32).alias("item_id"),
        "unknown_item": pl.col("item_id") + pl.lit(_UNKNOWN, pl.UInt32),
        "absurd_ratio": pl.lit(60_000, pl.UInt16).alias("played_ratio_pct"),
        "future": pl.lit(FUTURE, pl.UInt32).alias("timestamp"),
        "duplicate": pl.col("uid"),
    }
    parts = dict(zip(wrong, np.array_split(rng.permutation(len(listens))[:count], len(wrong)), strict=True))
    whole_N = np.ones(len(listens), bool)
    for kind, rows in parts.items():
        whole_N[rows] = kind == "duplicate"
    spoilt = [listens[rows.tolist()].with_columns(wrong[kind]) for kind, rows in parts.items() if len(rows)]
    together = pl.concat([listens.filter(pl.Series(whole_N)), *spoilt])
    together = together.sort("uid", "timestamp", nulls_last=True, maintain_order=True)
    return together, {kind: len(rows) for kind, rows in parts.items()}
