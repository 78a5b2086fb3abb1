"""Owns the list of contestants, and what each needs.
Must not know how a contestant works: its module is imported only in its own processes."""

from __future__ import annotations

import enum
import importlib
import importlib.util
import math
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast

import attrs

ROOT = Path(__file__).parents[2]
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Ready(Protocol):
    """Called by a server once clients may connect."""

    def __call__(self, *further_pids: int) -> None:
        """Report readiness; `further_pids` are processes between the two, whose CPU time counts as well."""
        ...


class Module(Protocol):
    """A contestant's module."""

    @property
    def serve(self) -> Callable[[str, Ready], None]:
        """Listen at a path, and serve forever."""
        ...

    @property
    def Client(self) -> Callable[[str], Any]:
        """A class that connects to a path; its methods are the works that it can do."""
        ...


class Cpus(enum.Enum):
    """The processors on which the two processes may run."""

    ANY = ""
    """The system decides, and may move them."""
    ONE = "one CPU"
    """Both run on the same processor."""
    TWO = "two CPUs"
    """Each runs on a processor of its own."""


@attrs.frozen
class Contestant:
    """One way to call another process."""

    name: str
    module: str
    """The module in this package."""
    modules_needed: tuple[str, ...] = ()
    programs_needed: tuple[str, ...] = ()
    environment: Mapping[str, str] = _NOTHING
    cpus: Cpus = Cpus.ANY
    most_connections: float = math.inf
    """The most connections on which it makes calls at once."""
    reference: str = "floor"
    """The contestant with whose time its own is compared."""
    variant_of: str | None = None
    """The contestant from which this one differs only in its settings."""
    python: str = sys.executable
    """The interpreter of both processes."""
    root: Path = ROOT
    """The folder from which `benchmarks` is imported."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules and programs that it needs and this system lacks."""
        modules = (name for name in self.modules_needed if not _is_installed(name))
        programs = (name for name in self.programs_needed if shutil.which(name) is None)
        return (*modules, *programs)


def load(module: str) -> Module:
    """Import a contestant's module."""
    return cast(Module, importlib.import_module(f"benchmarks.contest.{module}"))


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # Its package is not installed either.
        return False


def _pinned(cpus: Cpus) -> Iterator[Contestant]:
    """Yield contestants that show how the place of a process affects a call; on one CPU we do not poll."""
    for name, module in (("floor", "floor"), ("bare epoll", "bare_epoll"), ("ours", "ours")):
        yield Contestant(
            f"{name}, {cpus.value}", module, cpus=cpus, variant_of=name, reference=f"floor, {cpus.value}"
        )


CONTESTANTS = (
    Contestant("floor", "floor"),
    Contestant("bare epoll", "bare_epoll"),
    Contestant("ours", "ours"),
    Contestant("ours, no polling", "ours", environment={"CORELIB_BUSY_POLL_US": "0"}, variant_of="ours"),
    *_pinned(Cpus.ONE),
    *_pinned(Cpus.TWO),
    Contestant("multiprocessing", "multiprocessing_connection"),
    Contestant("multiprocessing, bytes", "multiprocessing_bytes", variant_of="multiprocessing"),
    Contestant("asyncio", "asyncio_protocol"),
    Contestant("uvloop", "uvloop_protocol", ("uvloop",)),
    Contestant("pyzmq, msgpack", "zmq_msgpack", ("zmq", "msgpack")),
    Contestant("RPyC", "rpyc_service", ("rpyc",)),
    Contestant("Pyro5", "pyro5_daemon", ("Pyro5",)),
    # grpcio 1.85 sometimes cancels one of 2,000 calls that are made at once.
    Contestant("gRPC", "grpc_unary", ("grpc", "google.protobuf"), most_connections=1000),
    Contestant("dbus-fast", "dbus_fast_bus", ("dbus_fast",), ("dbus-daemon",)),
)


def named(name: str) -> Contestant:
    """Return the contestant of a name.

    Raises:
        LookupError: there is none.
    """
    for contestant in CONTESTANTS:
        if contestant.name == name:
            return contestant
    raise LookupError(f"no contestant is named {name!r}; there are {', '.join(c.name for c in CONTESTANTS)}")
