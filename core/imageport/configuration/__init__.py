"""Pipelines and the site file: read, expanded and checked, with every mistake told by its position."""
