"""The ranker: DCN-v2 over what is known of a query, a candidate, and both together.

| room | what is in it |
|---|---|
| `statistics/` | item statistics of the events before the queries: co-occurrence, transitions, user k-NN, popularity |
| `network/` | what the network reads, and the network |
| `training/` | examples, losses, cross-fitting, validation, calibration |
| `ranker.py` | the served form: a request in, calibrated scores out |
"""
