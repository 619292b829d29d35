"""The KServe transformer: features, retrieval, the request to the predictor, and the answer. It does not need torch."""
