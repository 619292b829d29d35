"""A few queries for the bench, worked out by hand."""

import numpy as np

from benchmarks.quality.rows import Ints, Rows


def rows_of(histories: list[list[int]], targets: list[list[int]], candidates: Ints | None = None) -> Rows:
    """Queries of users 1, 2, ... about items 1 to 6."""
    count = len(histories)
    flat = [item for history in histories for item in history]
    owners = [user + 1 for user, history in enumerate(histories) for _ in history]
    return Rows(
        part="valid",
        num_users=count + 1,
        num_items=7,
        user_I=np.array(owners, np.int64),
        item_I=np.array(flat, np.int64),
        time_I=np.arange(len(flat)),
        user_Q=np.arange(1, count + 1),
        asked_Q=np.full(count, len(flat)),
        histories=[np.array(history, np.int64) for history in histories],
        target_offsets=np.append(0, np.cumsum([len(one) for one in targets])),
        target_items=np.array([item for one in targets for item in one], np.int64),
        candidates_QC=candidates,
        user_numeric_UF=np.zeros((count + 1, 0), np.float32),
        user_text_UD=np.zeros((count + 1, 0), np.float32),
        user_words={},
        masked=True,
    )
