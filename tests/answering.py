"""Answers of a release with its ranker in this process."""

from typing import Any

from shortlist.answer.query import Query
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.ranking.ranker import Ranker


class Answering:
    """A recommender and its ranker; item ids are ten times the item rows, as in `hand_made`."""

    ranker: Ranker
    recommender: ReleaseRecommender

    def answers(self, queries: list[Query], *, ranked: bool = True) -> list[dict[str, Any]]:
        found = self.recommender.find(queries)
        scores = self.ranker.score(found.request) if ranked and found.request is not None else None
        return [dict(one) for one in self.recommender.answers(found, scores, None)]

    def rows(self, query: Query, **how: bool) -> list[int]:
        return [item["item_id"] // 10 for item in self.answers([query], **how)[0]["items"]]
