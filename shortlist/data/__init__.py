"""Raw events in, clean tables out: the sources, ingestion, and the contract that rows are held to."""
