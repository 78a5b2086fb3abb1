"""Owns the version of the contract between generated code and `ipclib.generated`.

Must not know what the contract holds: the emitter writes it, and ipclib keeps it.
"""

from __future__ import annotations

GENERATED_CODE_VERSION = 2
"""Raised with every change after which old generated code and a new ipclib, or the reverse, do not fit."""
