"""The path of the bytes of an image: buffers, sparse files, digests, and the judgement of formats."""
