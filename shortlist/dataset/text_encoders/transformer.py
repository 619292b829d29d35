"""Sentence transformers (Reimers and Gurevych 2019): a model of a local folder or of the Hugging Face hub."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.hashing import hash_files, hash_of_hashes

_BATCH = 64


class TransformerEncoder:
    """A model of the package sentence-transformers; on a GPU if there is one."""

    def __init__(self, model: Any, identity: str) -> None:
        self.identity, self._model = identity, model
        self.width = int(model.get_embedding_dimension())

    @classmethod
    def open(cls, name: str, where: str) -> "TransformerEncoder":
        try:
            from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - an optional package
        except ImportError as error:
            raise ValueError(
                f"{where}.encoder: {name!r} is a model of sentence-transformers, which is not installed; install "
                "shortlist[sentence-transformers], or use encoder: tfidf or encoder: wordllama"
            ) from error
        try:
            model = SentenceTransformer(name, trust_remote_code=False, model_kwargs={"use_safetensors": True})
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"{where}.encoder: {name!r} is no folder of a sentence-transformers model, and no such model can be "
                f"downloaded from the Hugging Face hub: {reason}"
            ) from error
        content = hash_of_hashes(hash_files(Path(name))) if Path(name).is_dir() else _revision(model)
        return cls(model, f"sentence-transformers {version('sentence-transformers')} {name} {content}")

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = self._model.encode(list(texts), batch_size=_BATCH, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)


def _revision(model: Any) -> str:
    """The commit of a model of the hub."""
    return str(getattr(model[0].auto_model.config, "_commit_hash", None))
