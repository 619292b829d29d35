"""The KServe transformer: features, retrieval, the predictor's ranking, the answer. It carries no torch."""
