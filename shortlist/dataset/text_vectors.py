"""The text vectors of items, by the encoder of the recipe.

Shapes: N texts, W width of a sentence encoder's vectors, D width of the feature.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.text_encoders import open_encoder
from shortlist.dataset.text_encoders.cache import encode_cached
from shortlist.progress import say
from shortlist.recipe import Text


def sentence_vectors(
    texts: Sequence[str], trained: NDArray[np.bool_], spec: Text, seed: int, where: str
) -> NDArray[np.float32]:
    """The vectors of N texts by the sentence encoder of `spec`, [N, D].

    Wider vectors are reduced to D by a truncated SVD, fitted on the `trained` rows that have text. The length is
    sqrt(D), that of D standardised numbers; a row without text is all zeros. Raises ValueError when no trained row has
    text, when the encoder cannot be opened, or when its vectors are narrower than D.
    """
    described = np.array([bool(text.strip()) for text in texts], np.bool_)
    if not (described & trained).any():
        raise ValueError(f"{where}: no item of the train window has text; check the source's columns")
    encoder = open_encoder(spec.encoder, where)
    if encoder.width < spec.dim:
        raise ValueError(
            f"{where}.dim: the vectors of {spec.encoder!r} have {encoder.width} numbers; set dim to at most that"
        )
    say(f"{where}: {encoder.identity}, {encoder.width} numbers, {spec.dim} are kept")
    vectors_NW = encode_cached(encoder, texts)
    vectors_NW[~described] = 0
    vectors_NW = _scaled(vectors_NW)
    if encoder.width == spec.dim:
        return vectors_NW
    return _scaled(_reduced(vectors_NW, described & trained, spec.dim, seed))


def _reduced(vectors_NW: NDArray[np.float32], fitted: NDArray[np.bool_], dim: int, seed: int) -> NDArray[np.float32]:
    from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415 - takes a second, and few recipes have text

    rank = min(dim, int(fitted.sum()))
    out_ND = np.zeros((len(vectors_NW), dim), np.float32)
    out_ND[:, :rank] = TruncatedSVD(rank, random_state=seed).fit(vectors_NW[fitted]).transform(vectors_NW)
    return out_ND


def _scaled(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors with length sqrt(D); those of zeros stay so."""
    length_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    scaled_ND = vectors_ND * (np.sqrt(vectors_ND.shape[1]) / np.where(length_N1 > 0, length_N1, 1))
    return np.asarray(scaled_ND, np.float32)
