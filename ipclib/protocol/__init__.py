"""Frames, messages, and the book-keeping of calls; bytes in, events out. Knows no socket and no loop."""
