"""All attacks there are, for importing their modules adds them to ATTACKS."""

from tests.abuse import bad_server, crowds, heavy, holding, malformed
from tests.abuse.attack import ATTACKS

__all__ = ["ATTACKS", "bad_server", "crowds", "heavy", "holding", "malformed"]
