"""Owns the list of modules with attacks: importing one adds its attacks to ATTACKS.
Must not know what they attack."""

from tests.abuse import bad_server, crowds, heavy, holding, malformed, sharing
from tests.abuse.attack import ATTACKS

__all__ = ["ATTACKS", "bad_server", "crowds", "heavy", "holding", "malformed", "sharing"]
