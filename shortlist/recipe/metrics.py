"""The metrics of ranked lists, by their names in recipes, files and reports."""

METRICS = {"ndcg": "NDCG", "recall": "Recall", "hit_rate": "Hit rate", "mrr": "MRR", "map": "MAP"}
"""Name -> title. `shortlist.metrics.ranking.ranking_metrics` computes each as `<name>_at_<k>`."""
