"""The artists and items of the synthetic music log."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shortlist.data.sources.synthetic_names import artist_names, track_titles
from shortlist.recipe import SyntheticSource

DAY = 86_400
_PUBLISHED_ITEMS = 9_390_623
_ITEMS_PER_ARTIST, _ITEMS_PER_ALBUM = 12, 8

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Catalogue:
    """Items ordered by artist and release; artists ordered by position on the ring."""

    ring_A: Floats
    """End of each artist's arc on the ring, which ends at 1."""
    first_A: Ints
    """First item of each artist."""
    artist_I: Ints
    release_I: Ints
    """Seconds after the start; 0 for items that were released before."""
    length_I: Ints
    """Seconds."""
    id_I: Ints
    chart_I: Ints
    """The items in the order in which they enter the chart."""
    second_end: int

    def num_released(self, artist_N: Ints, time_N: Ints) -> Ints:
        """Number of each artist's released items at a time: one search in a sorted key of artist and release."""
        key_I = self.artist_I * self.second_end + self.release_I
        key_N = artist_N * self.second_end + np.minimum(time_N, self.second_end - 1)
        return np.searchsorted(key_I, key_N, "right") - self.first_A[artist_N]


def make_catalogue(source: SyntheticSource, rng: np.random.Generator) -> Catalogue:
    """Popular artists have larger arcs and more items; an artist's first item is released before the start."""
    num_artists = max(source.items // _ITEMS_PER_ARTIST, 1)
    weight_A = rng.permutation((np.arange(num_artists) + 5.0) ** -0.7)
    weight_A /= weight_A.sum()
    more = rng.choice(num_artists, source.items - num_artists, p=np.sqrt(weight_A) / np.sqrt(weight_A).sum())
    artist_I = np.sort(np.concatenate([np.arange(num_artists), more]))
    first_A = np.searchsorted(artist_I, np.arange(num_artists))
    second_end = source.days * DAY
    release_I = np.where(rng.random(source.items) < 0.7, 0, rng.integers(0, second_end, source.items))
    release_I[first_A] = 0
    release_I = release_I[np.lexsort((release_I, artist_I))]
    length_I = np.clip(rng.lognormal(np.log(200), 0.3, source.items) // 5 * 5, 30, 900).astype(np.int64)
    id_I = rng.permutation(max(_PUBLISHED_ITEMS, 2 * source.items))[: source.items] + 1
    return Catalogue(
        ring_A=np.cumsum(weight_A),
        first_A=first_A,
        artist_I=artist_I,
        release_I=release_I,
        length_I=length_I,
        id_I=id_I,
        chart_I=rng.permutation(source.items),
        second_end=second_end,
    )


def released(catalogue: Catalogue, artist_N: Ints, time_N: Ints, rng: np.random.Generator) -> Ints:
    """One of the artist's released items for each listen: half the listens prefer the newest, half the oldest."""
    out_N = catalogue.num_released(artist_N, time_N)
    skew_N = rng.random(len(artist_N)) ** 1.7
    newest_N = rng.random(len(artist_N)) < 0.5
    place_N = np.floor(out_N * np.where(newest_N, 1 - skew_N, skew_N)).astype(np.int64)
    item_N: Ints = catalogue.first_A[artist_N] + np.clip(place_N, 0, out_N - 1)
    return item_N


def chart(catalogue: Catalogue, time_N: Ints, rng: np.random.Generator) -> Ints:
    """An item of the chart for each listen: near the current top item in a fixed order of the items. The top moves to
    the next item every second day, so that items rise and fall gradually."""
    width = max(len(catalogue.chart_I) // 50, 1)
    side_N = rng.choice([-1, 1], len(time_N))
    place_N = time_N // (2 * DAY) + side_N * np.floor(width * rng.random(len(time_N)) ** 2).astype(np.int64)
    item_N = catalogue.chart_I[place_N % len(catalogue.chart_I)]
    out_N = catalogue.release_I[item_N] <= time_N
    shown_N: Ints = np.where(out_N, item_N, catalogue.first_A[catalogue.artist_I[item_N]])
    return shown_N


def write_items(folder: Path, catalogue: Catalogue, rng: np.random.Generator) -> None:
    """Write the mappings of artists and albums, and the titles."""
    num_items, num_artists = len(catalogue.id_I), len(catalogue.ring_A)
    items = pl.Series("item_id", catalogue.id_I.astype(np.uint32))
    artist_I = catalogue.artist_I
    # Two per cent of the tracks are by two artists who are neighbours on the ring.
    guests = np.flatnonzero(rng.random(num_items) < 0.02)
    artist = np.concatenate([artist_I, (artist_I[guests] + 1) % num_artists]) + 1
    by = pl.DataFrame({"artist_id": artist.astype(np.uint32), "item_id": pl.concat([items, items.gather(guests)])})
    by.unique().sort("artist_id", "item_id").write_parquet(folder / "artist_item_mapping.parquet")
    in_artist_I = np.arange(num_items) - catalogue.first_A[artist_I]
    album_I = np.cumsum((in_artist_I % _ITEMS_PER_ALBUM) == 0)
    pl.DataFrame({"album_id": album_I.astype(np.uint32), "item_id": items}).sort("album_id", "item_id").write_parquet(
        folder / "album_item_mapping.parquet"
    )
    names = artist_names(num_artists).gather(artist_I)
    pl.DataFrame({"item_id": items, "title": track_titles(names, rng)}).sort("item_id").write_parquet(
        folder / "titles.parquet"
    )
