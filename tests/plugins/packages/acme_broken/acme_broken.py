"""A package whose author forgot to declare a dependency."""

import acme_not_installed  # type: ignore[import-not-found]  # noqa: F401
