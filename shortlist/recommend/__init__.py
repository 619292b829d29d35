"""The recommendation pipeline, from a query to a list; all lists are made by it.

    query ─► candidate sources ─► filters ─► scorer ─► re-rankers ─► list

| stage | file | what it does |
|---|---|---|
| query | `query.py` | encoded queries, their times and the items that their users have seen |
| candidate sources | `sources/` | sources of items: the first one with candidates leads, later ones fill the list |
| filters | `filters/` | items to leave out |
| scorer | `scorer.py` | scores of the candidates: the ranker in this process, or the predictor |
| re-rankers | `rerankers/` | the order of the list |
| recommender | `recommender.py` | the stages in two halves, so that a remote scorer can be awaited between them |

Training of the ranker, evaluation, the comparison with the live release, and the transformer use the same recommender.
This package does not need torch.
"""
