"""What retrieval learns from: how an example's positive stands against other items.

Shapes: E examples, C of them in one chunk, N candidates, M hard negatives of an example, X pairs, D vector width.

| file | loss | paper |
|---|---|---|
| `softmax.py` | softmax over all items, or over some weighted by their chance | Yi et al. 2019, Yang et al. 2020 |
| `gbce.py` | binary cross-entropy, its positive tempered for the sampling | Petrov & Macdonald 2023 |
| `cosine_contrastive.py` | cosines of negatives count from a margin on | Mao et al. 2021 |

Each is one function of a chunk's scores to a loss and its derivative; `chunked.py` does the rest. What is compared with
what is drawn by `retrieval/negatives.py`. How far each is from the softmax over all items: docs/figures.md.
"""

from shortlist.retrieval.losses.chunked import Compared
from shortlist.retrieval.losses.cosine_contrastive import cosine_contrastive_loss
from shortlist.retrieval.losses.gbce import gbce_loss
from shortlist.retrieval.losses.softmax import log_chance, softmax_loss

__all__ = ["Compared", "cosine_contrastive_loss", "gbce_loss", "log_chance", "softmax_loss"]
