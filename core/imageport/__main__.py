"""``python -m imageport``."""

from __future__ import annotations

import sys

from imageport.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
