"""One import: planned, admitted, staged, transformed, written everywhere, settled."""
