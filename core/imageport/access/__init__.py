"""Rules of the operator: who may see and do what, which properties are theirs to write, and how much they may have."""
