"""Packages of plugins, in a folder of the test."""

from tests.plugin_folder import plugin_folder

__all__ = ["plugin_folder"]
