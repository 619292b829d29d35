"""Peers for queries that have no history but say what they want: notices of tenders, and who bid for alike ones.

Shapes: Q queries, P train positives, U user rows (a notice is a user), N item rows, T notices that train, D width of
a text vector, F features of a (notice, bidder) pair.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.quality.peers import Scored
from benchmarks.quality.rows import Ints, Rows

Floats = NDArray[np.float64]
_DAY = 86_400


class Notices:
    """What the notices say and who bid for those that train."""

    def __init__(self, rows: Rows) -> None:
        length_U1 = np.linalg.norm(rows.user_text_UD, axis=1, keepdims=True)
        self.text_UD = rows.user_text_UD / np.where(length_U1 > 0, length_U1, 1)
        self.number_UF = rows.user_numeric_UF[:, 0::2].astype(np.float64)
        self.words_UW = np.concatenate([_flags(one) for one in rows.user_words.values()], axis=1)
        self.trained_T, first = np.unique(rows.user_I, return_index=True)
        self.time_T = rows.time_I[first]
        self.bids_TN = np.zeros((len(self.trained_T), rows.num_items))
        self.bids_TN[np.searchsorted(self.trained_T, rows.user_I), rows.item_I] = 1

    def alike(self, user_Q: Ints, before: int, number_weight: float, width: float) -> tuple[Floats, Floats, Floats]:
        """Likeness of text and numbers, of the text alone, and age in days of the notices before a time, [Q, T]."""
        old = self.time_T < before
        text_QT = self.text_UD[user_Q] @ self.text_UD[self.trained_T[old]].T
        far_QTF = self.number_UF[user_Q][:, None] - self.number_UF[self.trained_T[old]]
        near_QT = np.exp(-(far_QTF**2).sum(2) / (2 * width**2))
        both_QT = (text_QT.clip(0) + number_weight * near_QT) / (1 + number_weight)
        return both_QT, text_QT, np.tile((before - self.time_T[old]) / _DAY, (len(user_Q), 1))


class NearestNotices(Scored):
    """kNN on what the notices say: a bidder's score is the sum of likeness ** `sharpness`, halved for every `half_life`
    days of age, of the `neighbours` nearest train notices for which they bid."""

    needs_history = False

    def __init__(
        self,
        seed: int,
        neighbours: int = 50,
        number_weight: float = 0.5,
        sharpness: float = 8,
        half_life: int = 1000,
        width: float = 0.5,
    ) -> None:
        self.seed, self.neighbours, self.number_weight = seed, neighbours, number_weight
        self.sharpness, self.half_life, self.width = sharpness, half_life, width

    def learn(self, rows: Rows) -> None:
        self._notices, self._now = Notices(rows), int(rows.asked_Q.min())

    def scores(self, at: Ints) -> Floats:
        notices = self._notices
        both_QT, _, age_QT = notices.alike(self.rows.user_Q[at], self._now, self.number_weight, self.width)
        weight_QT = both_QT**self.sharpness * 0.5 ** (age_QT / self.half_life)
        if self.neighbours < weight_QT.shape[1]:
            least_Q1 = np.partition(weight_QT, -self.neighbours, axis=1)[:, -self.neighbours, None]
            weight_QT = np.where(weight_QT >= least_Q1, weight_QT, 0)
        return np.asarray(weight_QT @ notices.bids_TN)


class BoostedTrees(Scored):
    """Gradient-boosted trees over (notice, bidder) pairs: all that the notice says, and of the bidder how often, how
    lately and for how alike notices they bid before. Every train notice is seen as of its own day, with its bidders and
    `negatives` others; the first `warm_up` days are only looked back on."""

    needs_history = False

    def __init__(
        self, seed: int, iterations: int = 150, leaves: int = 15, negatives: int = 60, warm_up: int = 300
    ) -> None:
        self.seed, self.negatives, self.warm_up = seed, negatives, warm_up
        self._model = HistGradientBoostingClassifier(
            max_iter=iterations, max_leaf_nodes=leaves, learning_rate=0.05, l2_regularization=1.0, random_state=seed
        )

    def learn(self, rows: Rows) -> None:
        notices = self._notices = Notices(rows)
        self._now, rng = int(rows.asked_Q.min()), np.random.default_rng(self.seed)
        pairs, labels = [], []
        for place in np.flatnonzero(notices.time_T >= notices.time_T.min() + self.warm_up * _DAY).tolist():
            bids_N = notices.bids_TN[place]
            others = rng.choice(np.flatnonzero(bids_N[1:] == 0) + 1, self.negatives, replace=False)
            taken = np.concatenate([np.flatnonzero(bids_N), others])
            pairs.append(self._pairs(int(notices.trained_T[place]), int(notices.time_T[place]))[taken])
            labels.append(bids_N[taken])
        self._model.fit(np.concatenate(pairs), np.concatenate(labels))

    def scores(self, at: Ints) -> Floats:
        asked = [self._pairs(user, self._now) for user in self.rows.user_Q[at].tolist()]
        return np.stack([self._model.predict_proba(pairs_NF)[:, 1] for pairs_NF in asked])

    def _pairs(self, user: int, now: int) -> Floats:
        """Features of one notice with every bidder, from what was known at `now`, [N, F]."""
        notices = self._notices
        old = notices.time_T < now
        (both_T,), (text_T,), (age_T,) = notices.alike(np.array([user]), now, 0.5, 0.5)
        bids_TN, number_TF = notices.bids_TN[old], notices.number_UF[notices.trained_T[old]]
        columns = [bids_TN.sum(0), (both_T[:, None] * bids_TN).max(0), (text_T[:, None] * bids_TN).max(0)]
        for weight_T in (both_T**8 * 0.5 ** (age_T / 1000), both_T**4 * 0.5 ** (age_T / 250), text_T**2):
            near_N = weight_T @ bids_TN
            columns.append(near_N / max(near_N.sum(), 1e-9))
        columns += [0.5 ** (age_T / days) @ bids_TN for days in (60, 250)]
        columns.append(np.where(bids_TN > 0, age_T[:, None], 9999).min(0))
        count_N1 = np.maximum(bids_TN.sum(0), 1)[:, None]
        mean_NF = bids_TN.T @ number_TF / count_N1
        spread_NF = np.sqrt(np.maximum(bids_TN.T @ number_TF**2 / count_N1 - mean_NF**2, 0.01))
        away_NF = notices.number_UF[user] - mean_NF
        words_NW = bids_TN.T @ notices.words_UW[notices.trained_T[old]] / count_N1
        columns.append(words_NW @ notices.words_UW[user])
        said_NF = np.tile(np.concatenate([notices.number_UF[user], notices.words_UW[user]]), (len(count_N1), 1))
        return np.concatenate([np.stack(columns, axis=1), away_NF, away_NF / spread_NF, said_NF], axis=1)


def _flags(words_UW: Ints) -> Floats:
    """Rows of words, 0 for none, as a column a word."""
    flags = np.zeros((len(words_UW), int(words_UW.max(initial=0)) + 1))
    np.put_along_axis(flags, words_UW.astype(np.int64), 1.0, axis=1)
    return flags[:, 1:]
