"""The command line, on top of everything: it may start the pipeline and the services."""
