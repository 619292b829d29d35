"""The two towers: their training, their export, the index, and retrieval without torch."""
