"""WordLlama: averaged token embeddings of large language models, whose weights are in the Python package."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class WordLlamaEncoder:
    """256 numbers a text, without torch: the mean of its token embeddings."""

    width = 256

    def __init__(self, model: Any) -> None:
        self.identity = f"wordllama {version('wordllama')} {self.width}"
        self._model = model

    @classmethod
    def open(cls, where: str) -> "WordLlamaEncoder":
        try:
            import wordllama  # noqa: PLC0415 - an optional package
        except ImportError as error:
            raise ValueError(
                f"{where}.encoder: wordllama is not installed; install shortlist[text], or use encoder: tfidf"
            ) from error
        # As the cache, the folder of the package is searched for weights and tokenizer: nothing is downloaded.
        packaged = Path(wordllama.__file__).parent
        return cls(wordllama.WordLlama.load(dim=cls.width, cache_dir=packaged, disable_download=True))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.asarray(self._model.embed(list(texts)), np.float32)
