"""What is served: one folder, its name, its publication, its gate."""
