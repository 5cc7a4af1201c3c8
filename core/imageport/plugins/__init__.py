"""Installed plugins: found by name, imported when used, called through typed methods."""
