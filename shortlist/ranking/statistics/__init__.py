"""Item statistics for the ranker, collected from the events before the queries; this package does not need torch."""
