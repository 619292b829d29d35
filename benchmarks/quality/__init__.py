"""The quality of the lists, side by side with the peers: `python -m benchmarks.quality --help`, docs/quality.md."""
