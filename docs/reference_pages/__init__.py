"""The reference pages: each module writes some of them from the code."""
