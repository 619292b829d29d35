"""Every peer that the test environment can import, held to one contract; EASE against its formula."""

import numpy as np
import pytest
from bench_rows import rows_of

from benchmarks.quality.peers import Scored, make_peer, matrix_of
from benchmarks.quality.rows import Rows

PEERS = {
    "popularity": {},
    "item-knn": {"neighbours": 3, "history": 5},
    "user-knn": {"neighbours": 2},
    "ease": {"regularisation": 1.0},
    "gf-cf": {"dim": 2},
    "two-tower": {"dim": 4, "epochs": 2},
}


@pytest.fixture
def rows() -> Rows:
    return rows_of([[1, 2], [1, 2, 3], [2, 3], [4, 5], [4, 5, 6], []], [[3], [4], [1], [6], [1], [2]])


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_lists_new_items_and_has_an_answer_for_everybody(name: str, rows: Rows) -> None:
    peer = make_peer(name, PEERS[name], seed=1)
    peer.fit(rows)
    lists = peer.rank(np.array([5, 0, 3]), 3)
    assert lists.shape == (3, 3)
    for query, listed in zip([5, 0, 3], lists.tolist(), strict=True):
        shown = [item for item in listed if item]
        assert shown
        assert len(set(shown)) == len(shown)
        assert not set(shown) & set(rows.histories[query].tolist())
    assert lists[0].tolist() == [2, 1, 3]  # of nobody is anything known: the most popular, then the lower row
    again = make_peer(name, PEERS[name], seed=1)
    again.fit(rows)
    assert np.array_equal(again.rank(np.array([5, 0, 3]), 3), lists)


@pytest.mark.parametrize("name", ["item-knn", "user-knn", "ease", "gf-cf"])
def test_neighbours_are_found(name: str, rows: Rows) -> None:
    peer = make_peer(name, PEERS[name], seed=1)
    peer.fit(rows)
    assert peer.rank(np.array([0, 3]), 1).tolist() == [[3], [6]]


def test_ease_is_its_closed_form(rows: Rows) -> None:
    peer = make_peer("ease", {"regularisation": 2.0}, seed=1)
    peer.fit(rows)
    history = matrix_of(rows).toarray().astype(np.float64)
    inverse = np.linalg.inv(history.T @ history + 2.0 * np.eye(7))
    expected = history[1:2] @ (np.eye(7) - inverse / np.diag(inverse))
    scores = peer.scores(np.array([0]))  # type: ignore[attr-defined]  # of the peers that score everything
    assert scores[0, 3:] == pytest.approx(expected[0, 3:], abs=1e-5)


class Last(Scored):
    """Likes the last item best."""

    needs_history = False

    def learn(self, rows: Rows) -> None:
        pass

    def scores(self, at: np.ndarray) -> np.ndarray:
        return np.tile(np.arange(7.0), (len(at), 1))


def test_a_peer_that_knows_more_than_histories_answers_who_has_none(rows: Rows) -> None:
    peer = Last()
    peer.fit(rows)
    assert peer.rank(np.array([5]), 2).tolist() == [[6, 5]]
    peer.needs_history = True
    assert peer.rank(np.array([5]), 2).tolist() == [[2, 1]]
