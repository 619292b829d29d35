"""Vectors of texts that were encoded before, by the content of the text.

    keys.npy      sorted hashes of the texts, V20
    vectors.npy   their vectors, float32, a row each

Both are in a folder per encoder, below `$XDG_CACHE_HOME/shortlist/text` (`~/.cache/shortlist/text`).

Shapes: N texts, W width of an encoder's vectors.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.text_encoders import SentenceEncoder
from shortlist.progress import Progress, say

_BLOCK = 1_024
_KEY = "V20"


def encode_cached(encoder: SentenceEncoder, texts: Sequence[str], folder: Path | None = None) -> NDArray[np.float32]:
    """The vectors of N texts, [N, W]; only texts that are in no earlier call's cache are encoded.

    An unreadable cache is replaced; if it cannot be written, that is printed, and nothing else happens.
    """
    folder = (folder or _default()) / hashlib.sha256(encoder.identity.encode()).hexdigest()[:16]
    known_K, known_KW = _read(folder, encoder.width)
    keys_N = np.array([hashlib.sha256(text.encode()).digest()[:20] for text in texts], _KEY)
    new_U, first_U = np.unique(keys_N, return_index=True)
    missing = ~np.isin(new_U, known_K)
    new_U, first_U = new_U[missing], first_U[missing]
    if len(new_U):
        progress, blocks = Progress("encode texts", len(new_U)), []
        for start in range(0, len(new_U), _BLOCK):
            part = [texts[at] for at in first_U[start : start + _BLOCK].tolist()]
            blocks.append(encoder.encode(part))
            progress.advance(len(part))
        order = np.argsort(np.concatenate([known_K, new_U]), kind="stable")
        known_K = np.concatenate([known_K, new_U])[order]
        known_KW = np.concatenate([known_KW, *blocks])[order]
        _write(folder, known_K, known_KW)
    return np.asarray(known_KW[np.searchsorted(known_K, keys_N)])


def _default() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shortlist/text"


def _read(folder: Path, width: int) -> tuple[NDArray[np.void], NDArray[np.float32]]:
    nothing = np.zeros(0, _KEY), np.zeros((0, width), np.float32)
    try:
        keys, vectors = np.load(folder / "keys.npy"), np.load(folder / "vectors.npy")
    except FileNotFoundError:
        return nothing
    except (OSError, ValueError, EOFError) as error:
        say(f"{folder}: this cache of text vectors cannot be read and is replaced ({error})")
        return nothing
    return (keys, vectors) if vectors.shape == (len(keys), width) else nothing


def _write(folder: Path, keys: NDArray[np.void], vectors: NDArray[np.float32]) -> None:
    """Replace the folder by a complete one."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent))
        np.save(draft / "keys.npy", keys)
        np.save(draft / "vectors.npy", vectors)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    except OSError as error:
        say(f"{folder}: the text vectors cannot be cached ({error})")
