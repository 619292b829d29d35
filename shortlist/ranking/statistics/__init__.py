"""Item statistics that the ranker reads, collected from the events before the queries; nothing here needs torch."""
