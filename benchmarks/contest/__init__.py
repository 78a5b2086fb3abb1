"""Owns the contest of calls between two processes: one file for each contestant, all doing the same work.
Must not know the tables and pictures of the results."""
