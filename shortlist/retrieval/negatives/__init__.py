"""Negative sampling: the items that the examples of a step are compared with, and their sampling probabilities.

| `retrieval.negatives.kind` | candidates |
|---|---|
| `in_batch` | the step's own positives, at most `max_in_batch` of them |
| `mixed` | these, and `num_uniform` uniform draws from the drawable items (Yang et al. 2020) |
| `uniform` | `num_uniform` uniform draws |
| `full` | all drawable items |

In-batch negatives are drawn by popularity and never contain an item without positives. Uniform draws do, so that the
tower is trained on such items too. Items that were not available during the examples are never drawn
(docs/decisions/availability.md). The hard negatives of `in_batch` and `mixed` come from `hard_negatives.py`.
"""

from shortlist.retrieval.negatives.drawable import drawable
from shortlist.retrieval.negatives.sampler import NegativeSampler, SampledNegatives
from shortlist.retrieval.negatives.streaming import Sighting, StreamingFrequency, streaming_of

__all__ = ["NegativeSampler", "SampledNegatives", "Sighting", "StreamingFrequency", "drawable", "streaming_of"]
