"""The items that may be negatives."""

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Prepared


def drawable(prepared: Prepared, examples: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which item rows were available at some time during these examples (positions in the samples); [num_item_rows].

    Only these are drawn: a user could not have taken an item that did not exist, so nothing is learned from it.
    """
    time = prepared.samples.time[examples]
    return prepared.store.available.within(int(time.min()), int(time.max()))
