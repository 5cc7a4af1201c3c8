"""A module that was meant to be run, not imported."""

import sys

sys.exit(0)
