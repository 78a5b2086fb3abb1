"""Owns what other packages add to the command `ipcc`: commands, and the interfaces of running services.

Must not know any such package. They are found by their entry points, which are read only when needed.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from ipcc.diagnostics import CommandError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

COMMANDS = "ipcc.commands"
"""The entry points of this group are commands; an entry's name is the command's."""
SOCKETS = "ipcc.sockets"
"""The entry point `interface` of this group is a function that asks a service for its interface."""


class Command(Protocol):
    """A command of another package. A module with these two functions will do."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say what the command is for, and what it takes."""

    def run(self, options: Namespace) -> int:
        """Do its work, and return the exit code.

        Raises:
            CommandError: the text is printed, and its code is the exit code.
            CompileError: an interface is wrong; the diagnostics are printed, and the exit code is 1.
        """


def command_names() -> list[str]:
    """The names of the commands of other packages, sorted."""
    return sorted({entry.name for entry in _entries(COMMANDS)})


def find_command(name: str) -> Command | None:
    """The command of another package with this name, if there is one.

    Raises:
        CommandError: it cannot be loaded, or two packages have one.
    """
    command: Command | None = _loaded(COMMANDS, name, f"the command '{name}'")
    return command


def interface_of_service(path: str) -> str:
    """The interface that the service at a socket path describes, as `.ipc` text.

    Raises:
        CommandError: the service cannot be asked; or no package that can ask it is installed.
    """
    ask = _loaded(SOCKETS, "interface", "what asks services for their interfaces")
    if ask is None:
        raise CommandError(
            f"'{path}' is a socket: install corelib-ipc, which asks the service for its interface"
        )
    return str(ask(path))


def _entries(group: str) -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # It takes 20 ms to import, which few commands need.

    return entry_points(group=group)


def _loaded(group: str, name: str, what: str) -> Any:
    found = {entry.value: entry for entry in _entries(group) if entry.name == name}
    if len(found) > 1:
        owners = " and ".join(sorted(map(_package, found.values())))
        raise CommandError(f"{what} is in {owners}: uninstall one of them")
    for entry in found.values():
        try:
            return entry.load()
        except Exception as error:  # A package that cannot be imported may raise anything.
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            hint = "reinstall or uninstall that package"
            raise CommandError(f"{what} of {_package(entry)} cannot be loaded ({reason}): {hint}") from error
    return None


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module
