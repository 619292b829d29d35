"""One path from a query to a list; nothing else composes one.

    query ─► candidate sources ─► filters ─► scorer ─► re-rankers ─► list

| stage | file | what it does |
|---|---|---|
| query | `query.py` | encoded queries, when they are asked, what their users have had |
| candidate sources | `sources/` | where items come from: the first one that answers a query leads, later ones fill up |
| filters | `filters/` | items that must not come back |
| scorer | `scorer.py` | scores of the candidates: the ranker in this process, or the predictor |
| re-rankers | `rerankers/` | the order of the list |
| recommender | `recommender.py` | the stages in two halves, so that a remote scorer can be awaited between them |

Training of the ranker, evaluation, the comparison with the live release, and the transformer ask the same recommender.
Nothing here needs torch.
"""
