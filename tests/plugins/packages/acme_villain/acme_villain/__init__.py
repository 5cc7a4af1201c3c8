"""Plugins that do what none should, each one thing."""
