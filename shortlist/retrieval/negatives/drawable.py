"""Which items may be negatives."""

import numpy as np
from numpy.typing import NDArray

from shortlist.dataset.prepared import Prepared


def drawable(prepared: Prepared, examples: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which item rows were available at some time of these examples, positions in the samples; bool [num_item_rows].

    Only they are drawn: of an item that did not exist nothing can be learnt from its not being taken.
    """
    time = prepared.samples.time[examples]
    return prepared.store.available.within(int(time.min()), int(time.max()))
