"""The metrics of ranked lists, by the names that recipes, files and reports have for them."""

METRICS = {"ndcg": "NDCG", "recall": "Recall", "hit_rate": "Hit rate", "mrr": "MRR", "map": "MAP"}
"""Name -> title. `shortlist.metrics.ranking.ranking_metrics` defines each, followed by `_at_k`."""
