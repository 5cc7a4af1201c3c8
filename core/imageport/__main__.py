"""``python -m imageport``."""

from __future__ import annotations

from imageport.cli.app import main

if __name__ == "__main__":
    main()
