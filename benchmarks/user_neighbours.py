"""The exact nearest users of all users, by songs: `python -m benchmarks.user_neighbours [--users 101713]`.

Invented playlists (`source.kind: synthetic_playlists`). It prints the seconds of one core, wall and processor, and what
the pictures of a report show.
"""

import argparse
from time import perf_counter, process_time

import numpy as np

from shortlist.data.sources.synthetic_playlists import make_tables
from shortlist.ragged import places
from shortlist.recipe import SyntheticPlaylistsSource
from shortlist.statistics.user_knn import UserKNN
from shortlist.statistics.user_neighbourhoods import neighbourhoods


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=101_713)
    parser.add_argument("--playlists", type=int, default=40_000)
    parser.add_argument("--songs", type=int, default=400_000)
    parser.add_argument("--neighbours", type=int, default=50)
    parser.add_argument("--reach", type=int, default=100)
    given = parser.parse_args()
    source = SyntheticPlaylistsSource(
        kind="synthetic_playlists", users=given.users, playlists=given.playlists, songs=given.songs
    )
    tables = make_tables(source, 42)
    liked = tables["users"]["songs"]
    song, song_row = np.unique(liked.explode().to_numpy(), return_inverse=True)
    length_U = liked.list.len().to_numpy().astype(np.int64)
    values_UW = np.zeros((given.users + 1, int(length_U.max())), np.int64)
    values_UW[np.repeat(np.arange(1, given.users + 1), length_U), places(length_U)] = song_row + 1
    playlist, playlist_row = np.unique(tables["events"]["item_id"].to_numpy(), return_inverse=True)
    begun, begun_cpu = perf_counter(), process_time()
    owners = tables["events"]["user_id"].to_numpy()
    users = UserKNN.by(values_UW, len(song) + 1, owners, playlist_row + 1, len(playlist) + 1)
    found = neighbourhoods(users, given.neighbours, given.reach)
    seconds, cpu = perf_counter() - begun, process_time() - begun_cpu
    print(f"{given.users:,} users, {len(song_row):,} likes, {len(owners):,} playlists owned")
    print(f"{seconds:.1f} s, {cpu:.1f} s of the processor")
    for name, values_U in (
        ("neighbours per user", found.neighbours_U),
        ("users whose neighbour a user is", found.popularity_U),
        ("reachable playlists", found.reachable_U),
    ):
        print(f"{name}: mean {values_U.mean():.1f}, median {np.median(values_U):g}, most {values_U.max()}")


if __name__ == "__main__":
    main()
