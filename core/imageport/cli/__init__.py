"""The command ``imageport``: each module parses one command, calls one function and prints its result."""
