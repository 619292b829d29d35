"""Sound rows to features, histories, samples and queries."""
