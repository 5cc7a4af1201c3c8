"""The decoders behind ``image_decompression``, one format a module."""
