"""The command line; it may start the pipeline and the services."""
