"""Owns one connection between two processes, over a socket and a loop.
Must not know how clients are accepted."""
