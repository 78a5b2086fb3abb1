"""Owns the public names for testing programs that use ipclib; the pytest fixtures are in pytest_ipclib.
Must not know anything but where they are defined. `import ipclib` does not import it.
"""

from ipclib.testing.clock import ManualClock
from ipclib.testing.fake import FakePeer
from ipclib.testing.fault import FAULTS, Fault
from ipclib.testing.pair import Pair, WithFaults
from ipclib.testing.watch import TestFailed, Unhandled, Watch

__all__ = [
    "FAULTS",
    "FakePeer",
    "Fault",
    "ManualClock",
    "Pair",
    "TestFailed",
    "Unhandled",
    "Watch",
    "WithFaults",
]
