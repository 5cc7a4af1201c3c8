"""A package whose author forgot to declare a dependency."""

import acme_that_nobody_installed  # type: ignore[import-not-found]  # noqa: F401
