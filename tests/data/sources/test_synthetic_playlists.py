"""The invented playlists: the same for a seed, and learnable from the songs alone."""

import numpy as np

from shortlist.data.sources.synthetic_playlists import make_tables
from shortlist.recipe import SyntheticPlaylistsSource

SOURCE = SyntheticPlaylistsSource(kind="synthetic_playlists", users=300, playlists=200, songs=600)


def test_a_seed_makes_the_same_tables() -> None:
    first, again, other = (make_tables(SOURCE, seed) for seed in (1, 1, 2))
    assert all(first[name].equals(again[name]) for name in first)
    assert not first["events"].equals(other["events"])


def test_every_user_likes_songs_and_takes_each_playlist_once() -> None:
    tables = make_tables(SOURCE, 1)
    assert not tables["events"].is_duplicated().any()
    assert tables["users"]["songs"].list.len().min() >= 1
    assert tables["users"]["songs"].list.n_unique().eq(tables["users"]["songs"].list.len()).all()
    assert set(tables["events"]["item_id"]) <= set(tables["items"]["item_id"])


def test_users_who_share_songs_share_playlists() -> None:
    tables = make_tables(SOURCE, 1)
    songs = [set(one) for one in tables["users"]["songs"].to_list()]
    owned: list[set[int]] = [set() for _ in songs]
    for user, playlist in tables["events"].iter_rows():
        owned[user - 1].add(playlist)
    pairs = [(a, b) for a in range(120) for b in range(a)]
    shared = {
        alike: np.mean([len(owned[a] & owned[b]) for a, b in pairs if (len(songs[a] & songs[b]) > 5) == alike])
        for alike in (True, False)
    }
    assert shared[True] > 3 * shared[False]
