"""The ranker's network: its inputs, DCN-v2, and attention to the history."""
