"""Which items the examples of a step are compared with, and how likely each of them was to be there.

| `retrieval.negatives.kind` | candidates |
|---|---|
| `in_batch` | the step's own positives, at most `max_in_batch` of them |
| `mixed` | those, and `num_uniform` drawn evenly from the drawable ones (Yang et al. 2020) |
| `uniform` | `num_uniform` drawn evenly |
| `full` | all items that are drawable |

In-batch negatives are drawn by popularity and never hold an item that nobody took; even draws do, so that the tower
also learns where such items do not belong; but none that was not available while the examples were made
(docs/decisions/availability.md). The hard negatives of `in_batch` and `mixed` come from `hard_negatives.py`.
"""

from shortlist.retrieval.negatives.drawable import drawable
from shortlist.retrieval.negatives.sampler import NegativeSampler, SampledNegatives

__all__ = ["NegativeSampler", "SampledNegatives", "drawable"]
