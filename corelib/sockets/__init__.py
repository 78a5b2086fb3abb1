"""Owns sockets and servers, over Unix paths and over TCP.
Must not know messages, only bytes and fds.
"""
