"""The IPC compiler: interface files (`.ipc`) to Python modules that stand on ipclib.

Stands alone: attrs and the standard library. `load` compiles in memory, `compile_file` writes a module;
the command is in `ipcc.cli`.
"""

from __future__ import annotations

from ipcc._version import __version__
from ipcc.compiler import compile_files, load
from ipcc.diagnostics import CompileError, Diagnostic
from ipcc.output import compile_file

__all__ = ["CompileError", "Diagnostic", "__version__", "compile_file", "compile_files", "load"]
