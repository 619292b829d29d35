"""From raw events to clean tables: the sources, ingestion, and validation by the contract."""
