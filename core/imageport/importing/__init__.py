"""One import: planned, admitted, staged, transformed, written everywhere, committed or rolled back."""
