"""Import from Glance, move over from it, and notify as it does."""
