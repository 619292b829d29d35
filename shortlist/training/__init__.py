"""The training loop of retrieval and ranking."""
