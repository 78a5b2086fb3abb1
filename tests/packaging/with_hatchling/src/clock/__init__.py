"""A clock's interface, compiled when this package is built."""

from clock.clock_ipc import ConnectionFromClient, ConnectionToServer

__all__ = ["ConnectionFromClient", "ConnectionToServer"]
