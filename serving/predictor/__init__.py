"""The ranker in TorchServe; only `handler.py`, `torchserve.py` and `config.properties` depend on TorchServe."""
