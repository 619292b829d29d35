"""Fitting the text encoder: which terms count, how much, and the directions in which texts differ most."""

from collections.abc import Sequence

import numpy as np

from shortlist.features.text import TextEncoder, terms_of
from shortlist.features.vocabulary import Vocabulary
from shortlist.recipe import Text


def fit_text_encoder(texts: Sequence[str], spec: Text, seed: int, where: str) -> TextEncoder:
    """The encoder of the texts of the train window; equal texts and seed give an equal one.

    Raises ValueError when no term is in two of them.
    """
    from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415 - takes a second, and few recipes have text
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    if not any(texts):
        raise ValueError(f"{where}: no item or user of the train window has text; check the source's columns")
    tfidf = TfidfVectorizer(
        analyzer=terms_of, sublinear_tf=True, min_df=min(2, len(texts)), max_features=spec.terms, dtype=np.float32
    )
    try:
        weights_NT = tfidf.fit_transform(texts)
    except ValueError:
        raise ValueError(f"{where}: no word is in two texts of the train window, so none can be alike") from None
    names = tfidf.get_feature_names_out().tolist()
    # By UTF-8 bytes the order is that of the code points, which is the order of the columns.
    terms = Vocabulary.of(np.array(names, object))
    components_TD = np.zeros((len(names), spec.dim), np.float32)
    rank = min(spec.dim, *weights_NT.shape)
    svd = TruncatedSVD(rank, random_state=seed).fit(weights_NT)
    components_TD[:, :rank] = svd.components_.T
    return TextEncoder(terms, tfidf.idf_.astype(np.float32), components_TD)
