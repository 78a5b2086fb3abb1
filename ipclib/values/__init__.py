"""Owns the encoding of values to bytes and descriptors, and the decoding of values from them.
Must not know frames, sockets or loops."""
