"""Users compared by a category: who is read, and what is kept on disk."""

from pathlib import Path

import numpy as np
import pytest

from shortlist.statistics.user_knn import UserKNN

SONGS = np.array([[0, 0, 0], [1, 2, 3], [1, 2, 0], [1, 0, 0], [4, 0, 0]])
"""Users 2 and 3 are near to user 1, in this order; user 4 is not."""
OWNERS, PLAYLISTS = np.array([1, 2, 2, 3, 3, 4]), np.array([1, 1, 2, 3, 4, 5])


def users() -> UserKNN:
    return UserKNN.by(SONGS, 5, OWNERS, PLAYLISTS, 6)


def test_a_user_is_no_neighbour_of_their_own() -> None:
    near, similarity = users().nearest(np.array([1, 2, 3]), 50, user=1)
    assert near.tolist() == [2, 3]
    np.testing.assert_allclose(similarity, [2 / 6**0.5, 1 / 3**0.5])


@pytest.mark.parametrize(("reach", "read"), [(None, 2), (1, 1), (2, 2), (9, 2)])
def test_neighbours_are_read_until_enough_is_new(reach: int | None, read: int) -> None:
    found = users().items_of(*users().nearest(np.array([1, 2, 3]), 50, user=1), np.array([1]), reach)
    assert found.num_users == read
    assert found.rows.tolist() == [1, 2, 3, 4][: 2 * read]


def test_they_are_kept_as_they_are(tmp_path: Path) -> None:
    users().save(tmp_path, "songs")
    again = UserKNN.open(tmp_path, "songs")
    assert again.num_rows == 6
    assert not again.by_items
    assert again.fingerprint == users().fingerprint
    assert again.nearest(np.array([1, 2]), 1, user=0)[0].tolist() == [2]


def test_items_of_another_run_are_refused(tmp_path: Path) -> None:
    users().save(tmp_path, "songs")
    np.save(tmp_path / "alike_songs_num_rows.npy", np.array([3]))
    with pytest.raises(ValueError, match="users by songs and their items do not match"):
        UserKNN.open(tmp_path, "songs")
