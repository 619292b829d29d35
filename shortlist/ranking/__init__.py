"""The ranker: DCN-v2 over features of the query, the candidate, and the pair of both.

| package or module | content |
|---|---|
| `statistics/` | item statistics of the events before the queries: co-occurrence, transitions, user k-NN, popularity |
| `network/` | the inputs of the network, and the network |
| `training/` | examples, losses, cross-fitting, validation, calibration |
| `ranker.py` | the ranker as it is served: from a request to calibrated scores |
"""
