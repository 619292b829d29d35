"""The DCN-v2 ranker of what retrieval finds."""
