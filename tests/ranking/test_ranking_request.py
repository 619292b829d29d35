"""The binary form of a ranking request: what goes in comes out, and nothing malformed gets through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from shortlist.features import Queries
from shortlist.recommend.request import RankingRequest

RELEASE = "a" * 64


def request(queries=2, candidates=4, length=3, seed=0, width=2, numeric=2, dim=5) -> RankingRequest:
    rng = np.random.default_rng(seed)
    return RankingRequest(
        history_EL=rng.integers(0, 9, (queries, length)),
        length_E=rng.integers(0, length + 1, queries),
        user_E=rng.integers(0, 9, queries),
        categorical={
            "clock.hour": rng.integers(0, 25, (queries, 1)),
            "user.town": rng.integers(0, 5, (queries, width)),
        },
        numeric_EF=rng.normal(size=(queries, numeric)).astype(np.float32),
        query_vector_ED=rng.normal(size=(queries, dim)).astype(np.float32),
        candidates_EK=rng.integers(0, 9, (queries, candidates)),
        retrieval_scores_EK=rng.normal(size=(queries, candidates)).astype(np.float32),
    )


def assert_equal(one: RankingRequest, other: RankingRequest) -> None:
    ours, theirs = one._arrays(), other._arrays()
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype
        np.testing.assert_array_equal(array, theirs[name])


@settings(deadline=None, max_examples=50)
@given(
    queries=st.integers(1, 4),
    candidates=st.integers(1, 6),
    length=st.integers(1, 5),
    numeric=st.integers(0, 3),
    seed=st.integers(0, 2**31),
    release=st.text(st.characters(codec="utf-8"), min_size=1, max_size=64),
)
def test_bytes_round_trip(queries, candidates, length, numeric, seed, release):
    sent = request(queries, candidates, length, seed, numeric=numeric)
    got, name = RankingRequest.from_bytes(sent.to_bytes(release))
    assert name == release
    assert_equal(sent, got)
    assert got.to_bytes(release) == sent.to_bytes(release)


@settings(deadline=None, max_examples=200)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_body_is_a_value_error_or_a_request(at, byte, cut):
    body = bytearray(request().to_bytes(RELEASE))
    at %= len(body)
    body = body[:at] if cut else body[:at] + bytes([byte]) + body[at + 1 :]
    try:
        RankingRequest.from_bytes(body)
    except ValueError:
        return
    assert not cut


def tensors(**changes) -> dict[str, np.ndarray]:
    wire = {
        name: array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
        for name, array in request()._arrays().items()
    } | changes
    return {name: array for name, array in wire.items() if array is not None}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not a safetensors file"),
        (b"{}", "not a safetensors file"),
        (request().to_bytes(RELEASE)[:-1], "not a safetensors file"),
        (request().to_bytes(RELEASE) + b"0", "not a safetensors file"),
        ((2**62).to_bytes(8, "little") + b"{}", "too large"),
        (save(tensors()), "release"),
        (save(tensors(candidates=np.ones((2, 4), np.int64)), {"release": "a"}), "candidates has type I64"),
        (save(tensors(numeric=np.ones((2, 2), np.float64)), {"release": "a"}), "numeric has type F64"),
        (save(tensors(user=None), {"release": "a"}), "missing .'user'"),
        (save(tensors(surplus=np.ones(2, np.int32)), {"release": "a"}), "unknown .'surplus'"),
        (save(tensors(candidates=np.ones((2, 5), np.int32)), {"release": "a"}), "one for each"),
        (save(tensors(user=np.ones((2, 1), np.int32)), {"release": "a"}), "user has shape"),
        (save(tensors(history=np.ones((3, 3), np.int32)), {"release": "a"}), "history has shape"),
        (save(tensors(length=np.full(2, 4, np.int32)), {"release": "a"}), "length must be 0 to 3"),
        (save(tensors(length=np.full(2, -1, np.int32)), {"release": "a"}), "length must be 0 to 3"),
        (save(tensors(query_vector=np.full((2, 5), np.nan, np.float32)), {"release": "a"}), "finite"),
    ],
)
def test_malformed_body_says_what_is_wrong(body, message):
    with pytest.raises(ValueError, match=message):
        RankingRequest.from_bytes(body)


def test_a_body_without_queries_is_refused():
    """Its shape could claim any width without a byte behind it."""
    empty = {name: array[:0] for name, array in tensors().items()}
    with pytest.raises(ValueError, match="it has no queries"):
        RankingRequest.from_bytes(save(empty, {"release": "a"}))


def test_padding_may_have_no_score():
    one = request(queries=1, candidates=2)
    one.candidates_EK[:] = [[3, 0]]
    one.retrieval_scores_EK[:] = [[0.5, -np.inf]]
    RankingRequest.from_bytes(one.to_bytes(RELEASE))
    one.retrieval_scores_EK[:] = [[-np.inf, 0.5]]
    with pytest.raises(ValueError, match="finite"):
        RankingRequest.from_bytes(one.to_bytes(RELEASE))


def test_stack_pads_to_the_widest_and_keeps_the_order():
    narrow, wide = request(1, 2, seed=1), request(2, 5, seed=2)
    both = RankingRequest.stack([narrow, wide])
    np.testing.assert_array_equal(both.candidates_EK[0], [*narrow.candidates_EK[0], 0, 0, 0])
    np.testing.assert_array_equal(both.candidates_EK[1:], wide.candidates_EK)
    np.testing.assert_array_equal(both.user_E, [*narrow.user_E, *wide.user_E])
    np.testing.assert_array_equal(both.categorical["user.town"][1:], wide.categorical["user.town"])


def test_stack_refuses_requests_of_different_shapes():
    with pytest.raises(ValueError, match="query_vector"):
        RankingRequest.stack([request(dim=5), request(dim=6)])


def test_of_hides_events_after_the_query():
    queries = Queries(
        history_BL=np.array([[1, 2, 3], [4, 5, 0]]),
        window_E=np.array([0, 0, 1]),
        prefix_E=np.array([1, 3, 0]),
        user_E=np.array([1, 1, 2]),
        categorical={},
        numeric_EF=np.zeros((3, 0), np.float32),
    )
    vectors, candidates, scores = np.zeros((3, 2), np.float32), np.ones((3, 1), np.int64), np.zeros((3, 1), np.float32)
    asked = RankingRequest.of(queries, vectors, candidates, scores, time_E=np.zeros(3, np.int64))
    np.testing.assert_array_equal(asked.history_EL, [[1, 0, 0], [1, 2, 3], [0, 0, 0]])
    np.testing.assert_array_equal(asked.length_E, [1, 3, 0])
