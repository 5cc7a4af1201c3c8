"""Plugins of Imageport for S3: a store in buckets of AWS and of compatible servers, and a source from them."""
