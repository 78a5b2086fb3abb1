"""What an `#include` brings. A C++ header is accepted and brings nothing.

Knows paths and folders; no types.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ipcc import nodes
from ipcc.diagnostics import Report

_OF_OURS = (".ipc", ".py")


def refuse_includes(files: Iterable[nodes.File], folders: Iterable[str], report: Report) -> None:
    """Report the includes that would have to bring something: interface files and Python modules."""
    searched = tuple(folders)
    for file in files:
        for include in file.includes:
            if include.path.endswith(_OF_OURS):
                _refuse(include, (os.path.dirname(file.source.path), *searched), report)


def _refuse(include: nodes.Include, folders: Iterable[str], report: Report) -> None:
    if any(os.path.isfile(os.path.join(folder, include.path)) for folder in folders):
        hint = "only C++ headers, which bring nothing, can be included"
        report.error(include.span, f"including '{include.path}' is not supported", hint)
    else:
        hint = "it is looked for beside the file and in the -I folders"
        report.error(include.span, f"cannot find '{include.path}'", hint)
