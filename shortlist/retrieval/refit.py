"""Two pairs of towers: those of the best epoch, and those trained further on the validation window (refit).

| artifact | of the best epoch | of the refit |
|---|---|---|
| checkpoints | `towers` | `towers/refit/` |
| export | `retrieval_before_refit` | `retrieval`: served |
| index | `index_before_refit` | `index`: served |

The items and users that a refit trained are stored next to its checkpoints, in `items/trained.npy` and
`users/trained.npy`. The ranker learns from validation queries, so it needs towers that were not trained on them:
docs/decisions/refit.md. Without a refit there is one pair, `retrieval` and `index`, and the artifacts `before_refit`
are empty folders.
"""

from pathlib import Path

import numpy as np

from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN, VALID
from shortlist.recipe import Recipe
from shortlist.retrieval.towers import Trained

REFIT = "refit"
REFIT_PARTS = (TRAIN, VALID)
"""Parts of the split that a refit learns from."""


def for_ranker(recipe: Recipe, *, served: Path, before_refit: Path) -> Path:
    """The export, or index, for training the ranker: that of the towers that were not trained on validation."""
    return before_refit if recipe.retrieval.refit.epochs else served


def trained_by_refit(prepared: Prepared) -> Trained:
    """The items and users that have a trained id after a refit."""
    samples, schema = prepared.samples, prepared.store.schema
    at = samples.positives(REFIT_PARTS)
    items, users = np.zeros(schema.num_item_rows, bool), np.zeros(schema.num_user_rows, bool)
    items[samples.item[at]], users[samples.user[at]] = True, True
    return Trained(items, users)
