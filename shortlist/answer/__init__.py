"""From a request to its answer, on one release and without a network: read, encoded, recommended, written.

| step | file | what it does |
|---|---|---|
| read | `query.py`, by the types of `schema.py` | validated queries; `refusal.py` has the messages for all others |
| encode | `encode.py` | the arrays that the towers read |
| recommend, write | `release_recommender.py` | candidates, and predictions once they are scored |

`release.py` finds and opens the release. The transformer, the lists for many users and the tests use the same code.
This package does not need torch.
"""
