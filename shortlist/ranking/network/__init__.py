"""The ranker's network: what it reads, DCN-v2, attention to the history."""
