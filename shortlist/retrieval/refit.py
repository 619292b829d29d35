"""Two pairs of towers: those of the best epoch, and those that then learnt from the validation window too.

    checkpoints     <towers>/                 of the best epoch;         <towers>/refit/          of the refit
    export, index   <folder>/.unseen/         of the best epoch;         <folder>/                of the refit: served

Beside the checkpoints of a refit lies which items and users it trained, `items/trained.npy` and `users/trained.npy`.
The ranker learns from validation queries, so it needs towers that have not seen the answers: docs/decisions/refit.md.
Without a refit there is one pair, in the folder itself.
"""

from pathlib import Path

import numpy as np

from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN, VALID
from shortlist.retrieval.towers import Trained

REFIT = "refit"
UNSEEN = ".unseen"
"""Hidden, since a release takes all files of a folder but hidden ones."""
REFIT_PARTS = (TRAIN, VALID)
"""Of the split, that a refit learns from."""


def unseen(folder: Path) -> Path:
    """Where the export or the index of the towers lies that have not seen the validation window."""
    before = folder / UNSEEN
    return before if before.is_dir() else folder


def trained_by_refit(prepared: Prepared) -> Trained:
    """The items and users that have an id of their own after a refit."""
    samples, schema = prepared.samples, prepared.store.schema
    at = samples.positives(REFIT_PARTS)
    items, users = np.zeros(schema.num_item_rows, bool), np.zeros(schema.num_user_rows, bool)
    items[samples.item[at]], users[samples.user[at]] = True, True
    return Trained(items, users)
