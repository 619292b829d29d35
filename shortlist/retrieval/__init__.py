"""The two-tower model: training, export, the index, and retrieval without torch."""
