"""Texts to vectors: against scikit-learn, and what every vector must be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from shortlist.dataset.fit_text import fit_text_encoder
from shortlist.features.text import TextEncoder, joined, terms_of
from shortlist.recipe import Text

TEXTS = [
    "Grit adhesive sanding roll, abrasive products. PORTER",
    "Sanding roll of 120 grit; adhesive-backed, abrasive",
    "Wood glue, gorilla glue, strong",
    "Gorilla tape and glue for wood",
    "Straßenbau: Erneuerung der Straße",
    "道路補修工事 第一工区",
    "道路補修工事 第二工区 wood",
]
SPEC = Text(columns=["title"], dim=4)


def test_terms_are_words_and_pieces_of_four_letters():
    assert terms_of("Wood-GLUE2 of") == ["wood", "<woo", "wood", "ood>", "glue2", "<glu", "glue", "lue2", "ue2>", "of"]
    assert terms_of("道路補修") == ["道路補修", "<道路補", "道路補修", "路補修>"]
    assert "x" * 41 not in terms_of("x" * 41)
    assert terms_of(" ... ") == []


def cosines(vectors_ND):
    length_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    unit_ND = vectors_ND / np.where(length_N1 > 0, length_N1, 1)
    return unit_ND @ unit_ND.T


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.sampled_from(" ".join(TEXTS).split()), max_size=9).map(" ".join), min_size=1, max_size=9))
def test_the_vectors_are_those_of_scikit_learn(texts):
    encoder = fit_text_encoder(TEXTS, SPEC, 1, "items.text")
    tfidf = TfidfVectorizer(analyzer=terms_of, sublinear_tf=True, min_df=2, max_features=SPEC.terms)
    svd = TruncatedSVD(4, random_state=1).fit(tfidf.fit_transform(TEXTS))
    expected = svd.transform(tfidf.transform(texts))
    np.testing.assert_allclose(cosines(encoder.encode(texts)), cosines(expected), atol=1e-4)


def test_a_vector_has_the_length_of_standardised_numbers_or_none():
    vectors = fit_text_encoder(TEXTS, SPEC, 1, "items.text").encode([*TEXTS, "", "unheard 123"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose((vectors[:-2] ** 2).mean(1), 1, rtol=1e-5)
    assert not vectors[-2:].any()


def test_what_is_alike_is_near():
    near = cosines(fit_text_encoder(TEXTS, SPEC, 1, "items.text").encode(TEXTS))
    np.fill_diagonal(near, -1)
    assert near.argmax(1).tolist()[:4] == [1, 0, 3, 2]
    assert near.argmax(1).tolist()[5:] == [6, 5]


def test_a_text_has_its_vector_whatever_is_asked_beside_it_and_after_it_was_saved(tmp_path):
    encoder = fit_text_encoder(TEXTS, SPEC, 1, "items.text")
    encoder.save(tmp_path / "text")
    opened = TextEncoder.open(tmp_path / "text")
    many = [TEXTS[i % 7] for i in range(600)]
    together = opened.encode(many)
    for i in (0, 3, 6, 599):
        np.testing.assert_array_equal(together[i], encoder.encode([many[i]])[0])
    assert opened.encode([]).shape == (0, 4)


def test_the_same_texts_and_seed_give_the_same_encoder():
    first, second = fit_text_encoder(TEXTS, SPEC, 1, "items.text"), fit_text_encoder(TEXTS, SPEC, 1, "items.text")
    np.testing.assert_array_equal(first.components_TD, second.components_TD)
    assert first.terms.keys.tolist() == second.terms.keys.tolist()


def test_fewer_texts_than_dimensions_leave_the_rest_zero():
    encoder = fit_text_encoder(TEXTS, Text(columns=["title"], dim=64), 1, "items.text")
    assert encoder.encode(TEXTS).shape == (7, 64)
    assert not encoder.components_TD[:, 7:].any()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["", ""], "items.text: no item or user of the train window has text"),
        (["alpha", "omega"], "no word is in two texts"),
        (["!", "?"], "no word is in two texts"),
    ],
)
def test_texts_of_which_nothing_can_be_learnt(texts, message):
    with pytest.raises(ValueError, match=message):
        fit_text_encoder(texts, SPEC, 1, "items.text")


def test_columns_are_joined_into_one_text():
    assert joined(["road works", ["a", "b"], None, 7]) == "road works a b 7"
