"""Releases: the folder that is served, its name, its publication and the gate."""
