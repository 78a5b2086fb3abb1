"""Calls between two processes: one file for each contestant, all doing the same work."""
