"""Owns what happens to a connection when its link closes, which depends on where its service came from.
Must not know links or messages.
"""

from __future__ import annotations

from corelib import PeerCredentials, Process


class Origin:
    """The origin of a service that was found at its path, or whose socket was passed in.

    The connection ends with its link.
    """

    __slots__ = ()

    @property
    def process(self) -> Process | None:
        """The process of the service, if spawn() started it."""
        return None

    @property
    def is_looking(self) -> bool:
        """Whether another link is being looked for."""
        return False

    def lost(self) -> bool:
        """Note that the link has closed. False if the connection goes on, as another link will be found."""
        return True

    def stop(self) -> bool:
        """Stop looking for another link. True if one was being looked for: then the connection ends now."""
        return False

    def peer(self, credentials: PeerCredentials) -> PeerCredentials:
        """The credentials of the service, given those that the kernel reports."""
        return credentials


FOUND = Origin()
"""The origin of every connection that neither reconnects nor was spawned."""
