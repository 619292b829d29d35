"""Time-decayed popularity just before the test: the fallback for users of whom nothing is known, and a baseline.

Where the split is by time, an event counts half for every half-life of its age, and the half-life is the one by which
the validation was most likely. Data whose popularity drifts gets a short one; stable or few data get a long one.

Shapes: N item rows, P positives, H half-lives.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.columns import blocks, load
from shortlist.dataset.split import TRAIN, VALID, Windows
from shortlist.features.availability import Availability
from shortlist.features.recency import time_decayed_counts, time_decayed_counts_by_squaring

HALF_LIVES = (np.inf, 16.0, 4.0, 2.0, 1.0, 0.5)
"""In lengths of the validation window."""
_NOISE = 3.0
"""Of the log-likelihood, nats: half-lives that differ by less are as good, and the longest of them rests on most."""
_BLOCK = 1 << 21
"""Samples at a time: always as many, so that the sums are the same to the last bit."""


def time_decayed_popularity(
    samples: Path, windows: Windows, available: Availability
) -> tuple[float, NDArray[np.float32]]:
    """The half-life in seconds, and its counts [N] at the end of the validation window; `samples` are written."""
    num_rows = len(available.from_N)
    half_lives = [share * (windows.valid_end - windows.valid_start) for share in HALF_LIVES]
    item, time, label, part = (load(samples / f"{name}.npy") for name in ("item", "time", "label", "part"))

    def positives(block: slice) -> list[NDArray[np.int64]]:
        """Where those of train and those of validation stand."""
        return [np.flatnonzero(label[block] & (part[block] == one)) + block.start for one in (TRAIN, VALID)]

    learnt_HN, valid_N = np.zeros((len(half_lives), num_rows)), np.zeros(num_rows, np.int64)
    for block in blocks(len(item), _BLOCK):
        train, valid = positives(block)
        valid_N += np.bincount(item[valid], minlength=num_rows)
        learnt_HN += time_decayed_counts_by_squaring(item[train], time[train], windows.train_end, half_lives, num_rows)
    # A Dirichlet prior of one event an item, so that few events make no sharp distribution.
    # Items that did not exist yet cannot be predicted by any half-life.
    there_N = available.at(windows.valid_start)
    share_HN = learnt_HN[:, there_N] + 1
    log_likelihood_H = np.log(share_HN / share_HN.sum(axis=1, keepdims=True)) @ valid_N[there_N]
    best = half_lives[int(np.argmax(log_likelihood_H >= log_likelihood_H.max() - _NOISE))]
    known_N = np.zeros(num_rows)
    for block in blocks(len(item), _BLOCK):
        both = np.concatenate(positives(block))
        known_N += time_decayed_counts(item[both], time[both], windows.valid_end, [best], num_rows)[0]
    return best, known_N.astype(np.float32)
