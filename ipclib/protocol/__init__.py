"""Owns the wire: frames, messages, and the state of a conversation. Bytes go in, and events come out.
Must not know sockets or loops."""
