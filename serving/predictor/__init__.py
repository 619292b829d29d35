"""The ranker behind TorchServe; `handler.py` and `config.properties` are all that knows TorchServe."""
