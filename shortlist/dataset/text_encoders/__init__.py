"""Pretrained sentence encoders for the texts of items (`features.item.text.encoder`).

Shapes: N texts, W width of an encoder's vectors.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shortlist.recipe import WORDLLAMA


class SentenceEncoder(Protocol):
    """A pretrained encoder."""

    identity: str
    """Name and version: encoders with the same identity give a text the same vector."""
    width: int
    """W."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of N texts, [N, W]."""


def open_encoder(name: str, where: str) -> SentenceEncoder:
    """The encoder that a recipe names. Raises ValueError when it is not installed or cannot be loaded.

    `where` is the path of the section in the recipe, for messages.
    """
    if name == WORDLLAMA:
        from shortlist.dataset.text_encoders.word_llama import WordLlamaEncoder  # noqa: PLC0415 - an optional package

        return WordLlamaEncoder.open(where)
    from shortlist.dataset.text_encoders.transformer import TransformerEncoder  # noqa: PLC0415 - an optional package

    return TransformerEncoder.open(name, where)
