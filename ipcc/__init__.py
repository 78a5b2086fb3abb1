"""Owns the public names of the IPC compiler, which turns interface files (`.ipc`) into Python modules.

Must not know ipclib: generated modules stand on it, the compiler needs attrs and the standard library alone.
`load` compiles in memory, `compile_file` writes a module, and the command is in `ipcc.cli`.
"""

from __future__ import annotations

from ipcc._version import __version__
from ipcc.compiler import compile_files, load
from ipcc.diagnostics import CommandError, CompileError, Diagnostic
from ipcc.output import compile_file

__all__ = [
    "CommandError",
    "CompileError",
    "Diagnostic",
    "__version__",
    "compile_file",
    "compile_files",
    "load",
]
