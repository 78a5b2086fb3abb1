"""Sockets and servers, over Unix paths and over TCP. Knows bytes and descriptors, and no message."""
