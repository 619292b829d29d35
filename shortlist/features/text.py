"""Text to vectors, equally in training and serving: TF-IDF of words and character n-grams, reduced by a truncated SVD.

    weight_t = (1 + log count_t) idf_t,    v = sum_t weight_t c_t,    vector = sqrt(D) v / |v|

`c_t` [D] is the row of term t in the components of the SVD (latent semantic analysis, Deerwester et al. 1990). The
components of a vector have mean square 1, like the standardised numbers that it is concatenated with; a text without a
known term is all zeros. Terms are looked up in a sorted array, so that serving needs only numpy.

Shapes: N texts, T terms, D width of a vector, P (text, term) pairs.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shortlist.data.categories import canonical
from shortlist.features.vocabulary import UNKNOWN, Vocabulary

_WORD = re.compile(r"\w+")
_PIECE = 4
_LONGEST = 40
"""Maximum length of a word in letters. A longer run is not a word, but its n-grams still count: some languages do not
write spaces."""
_BLOCK = 1 << 8


def terms_of(text: str) -> list[str]:
    """The words of a text and, so that related forms share terms, their 4-grams; `<` and `>` mark word ends."""
    terms = []
    for word in _WORD.findall(text.lower()):
        if len(word) <= _LONGEST:
            terms.append(word)
        marked = f"<{word}>"
        if len(marked) > _PIECE:
            terms += [marked[i : i + _PIECE] for i in range(len(marked) - _PIECE + 1)]
    return terms


def joined(values: Iterable[object]) -> str:
    """One text from the values of several columns, each a text, a list of words, or nothing."""
    flat = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
    words = (canonical(one, "text") for one in flat)
    return " ".join(str(word) for word in words if word is not None)


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder fitted on the texts of the train window."""

    terms: Vocabulary
    idf_T: NDArray[np.float32]
    components_TD: NDArray[np.float32]

    @classmethod
    def open(cls, folder: Path) -> "TextEncoder":
        arrays = (np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray) for name in ("idf", "components"))
        return cls(Vocabulary.open(folder / "terms.npy"), *arrays)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.terms.save(folder / "terms.npy")
        np.save(folder / "idf.npy", self.idf_T)
        np.save(folder / "components.npy", self.components_TD)

    @property
    def dim(self) -> int:
        return int(self.components_TD.shape[1])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of N texts, [N, D]."""
        blocks = [self._block(texts[start : start + _BLOCK]) for start in range(0, len(texts), _BLOCK)]
        return np.concatenate([np.zeros((0, self.dim), np.float32), *blocks])

    def _block(self, texts: Sequence[str]) -> NDArray[np.float32]:
        found = [terms_of(text) for text in texts]
        text_P = np.repeat(np.arange(len(texts)), [len(terms) for terms in found])
        row_P = self.terms.rows([term for terms in found for term in terms])
        width = self.terms.num_rows
        pair_P, count_P = np.unique((text_P * width + row_P)[row_P != UNKNOWN], return_counts=True)
        text_P, term_P = pair_P // width, pair_P % width - 1
        weight_P = (1 + np.log(count_P)) * self.idf_T[term_P]
        vectors_ND = np.zeros((len(texts), self.dim))
        if len(pair_P):
            known_K, first_K = np.unique(text_P, return_index=True)
            vectors_ND[known_K] = np.add.reduceat(weight_P[:, None] * self.components_TD[term_P], first_K)
        length_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
        vectors_ND *= np.sqrt(self.dim) / np.where(length_N1 > 0, length_N1, 1)
        return vectors_ND.astype(np.float32)
