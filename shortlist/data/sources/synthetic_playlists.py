"""Generates a deterministic log of users who like songs and own playlists, with structure that a model can learn.

The same settings and seed give the same rows. Songs and playlists are placed on a ring; so are users, at one or two
places each. A user likes songs and takes playlists near these places, popular ones more often, and some of both from
anywhere. Users who like the same songs therefore own the same playlists, and no event connects songs with playlists:
only the users do.

Shapes: U users, E likes or events, N songs or playlists.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.sources.locate import Found
from shortlist.data.sources.raw import RawTable, RawTables
from shortlist.data.sources.synthetic_names import artist_names
from shortlist.recipe import Recipe, SyntheticPlaylistsSource

_FIRST_SONG, _FIRST_PLAYLIST = 1_000_000, 5_000
_SONGS, _PLAYLISTS = 40, 7
"""What a user likes and owns on average."""
_LEAST_OWNED = 3
"""One playlist each for train, validation and test."""
_AREA = 0.01
"""The standard deviation around a place, as a share of the ring."""
_ANYWHERE = 0.15
"""The share of likes and playlists from anywhere."""
_MOST_LIKED = 200
_SKEW = 3.0
"""How much more popular the first of neighbouring songs or playlists are than the last."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def read_synthetic_playlists(recipe: Recipe, source: SyntheticPlaylistsSource, scratch: Path) -> RawTables:
    """Write the tables below `scratch`, and read them."""
    found = {}
    for name, table in make_tables(source, recipe.seed).items():
        path = scratch / f"{name}.parquet"
        scratch.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path)
        found[name] = Found(path, f"synthetic/{name}.parquet")

    def raw(name: str, where: str) -> RawTable:
        return RawTable(pl.scan_parquet(found[name].path), found[name].name, where, {})

    return RawTables([raw("events", "source")], raw("items", "source"), raw("users", "source"), list(found.values()))


def make_tables(source: SyntheticPlaylistsSource, seed: int) -> dict[str, pl.DataFrame]:
    """`events` (user_id, item_id), in the order in which each user took the playlists; `users` (user_id, songs) and
    `items` (item_id, title)."""
    rng = np.random.default_rng(seed)
    place_U2 = rng.random((source.users, 2))
    place_U2[:, 1] = np.where(rng.random(source.users) < 0.5, place_U2[:, 0], place_U2[:, 1])
    likes, songs = _taken(place_U2, source.songs, _numbers(source.users, _SONGS, 3, _MOST_LIKED, rng), rng)
    owners, playlists = _taken(
        place_U2, source.playlists, _numbers(source.users, _PLAYLISTS, _LEAST_OWNED, 60, rng), rng
    )
    user_id = pl.Series("user_id", np.arange(1, source.users + 1))
    liked = pl.DataFrame({"user_id": likes + 1, "songs": songs + _FIRST_SONG})
    items = pl.Series("item_id", np.arange(source.playlists) + _FIRST_PLAYLIST)
    return {
        "events": pl.DataFrame({"user_id": owners + 1, "item_id": playlists + _FIRST_PLAYLIST}),
        "users": user_id.to_frame().join(
            liked.group_by("user_id", maintain_order=True).agg("songs"), on="user_id", how="left", maintain_order="left"
        ),
        "items": pl.DataFrame({"item_id": items, "title": artist_names(source.playlists)}),
    }


def _numbers(users: int, mean: float, least: int, most: int, rng: np.random.Generator) -> Ints:
    """How many things each user has: a few have many."""
    drawn_U = rng.lognormal(np.log(mean) - 0.18, 0.6, users)
    return np.clip(np.round(drawn_U), least, most).astype(np.int64)


def _taken(place_U2: Floats, count: int, number_U: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """(user, song or playlist) of everything that is taken, each once, in a random order for each user."""
    user_E = np.repeat(np.arange(len(number_U)), number_U)
    place_E = place_U2[user_E, rng.integers(0, 2, len(user_E))] + _AREA * rng.standard_normal(len(user_E))
    place_E = np.where(rng.random(len(user_E)) < _ANYWHERE, rng.random(len(user_E)), place_E) % 1.0
    # Each area has its own hits: within a block of neighbours, the first are taken most.
    block = max(count // max(int(1 / (2 * _AREA)), 1), 1)
    first_E = (place_E * count).astype(np.int64) // block * block
    taken_E = np.minimum(first_E + (block * rng.random(len(user_E)) ** _SKEW).astype(np.int64), count - 1)
    _, kept = np.unique(user_E * count + taken_E, return_index=True)
    kept = np.sort(kept)
    return user_E[kept], taken_E[kept]
