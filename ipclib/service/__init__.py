"""Owns how a process serves: it accepts clients, or takes over the sockets that it was started with.
Must not know messages."""
