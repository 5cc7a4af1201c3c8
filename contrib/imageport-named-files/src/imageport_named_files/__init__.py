"""Plugins of Imageport for folders in which people look: readable file names, and min_disk."""
