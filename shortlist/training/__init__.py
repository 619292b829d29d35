"""One training loop, for retrieval and ranking alike."""
