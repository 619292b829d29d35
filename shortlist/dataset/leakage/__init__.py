"""Proof that nothing which feeds a sample or a query is of its time or later.

A prepared folder is checked as it lies on disk, over all rows, in blocks: it does not matter who wrote it or how. What
the training of the towers cuts and draws from it is proven where they are trained (`retrieval/leakage.py`).
"""

from shortlist.dataset.leakage.check import LeakageError
from shortlist.dataset.leakage.prepared_folder import LeakageProof, prove

__all__ = ["LeakageError", "LeakageProof", "prove"]
