"""Owns the command line of the settings service and of its client.
Must not know the rules for settings: those are the service's."""

from __future__ import annotations

import argparse
import functools
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from corelib import CorelibError, EventLoop
from corelib.session import socket_path
from demos.config.client import DEFAULT_SOCKET_PATH, Config
from demos.config.errors import ConfigError
from demos.config.ini import escape
from demos.config.service import ConfigService
from demos.config.store import Store, default_directory
from demos.config.tour import run_tour
from demos.config.values import I32, U32, format_bool, parse_bool, parse_integer
from ipclib import IPCError, RemoteError, ServiceUnavailable

Options = argparse.Namespace

_PROGRAM = "python -m demos.config"

_TYPES: dict[str, tuple[Callable[[str], Any], Callable[..., None]]] = {
    "string": (str, Config.write_string),
    "i32": (functools.partial(parse_integer, span=I32), Config.write_i32),
    "u32": (functools.partial(parse_integer, span=U32), Config.write_u32),
    "bool": (parse_bool, Config.write_bool),
}
"""For each type of value: a function that parses it (None if the text is not one), and one that writes it."""


def serve(options: Options) -> int:
    logging.basicConfig(format="%(levelname)s: %(message)s")
    directory = options.directory or default_directory()
    with EventLoop() as loop, closing(Store(directory)) as store:
        with closing(ConfigService(store, options.socket)):
            for signo in (signal.SIGTERM, signal.SIGINT):
                loop.register_signal(signo, lambda _signo: loop.quit())
            print(f"listening at {socket_path(options.socket)}, settings in {directory}", flush=True)
            code = loop.exec()
        print("stopped", flush=True)
        return code


def get(options: Options) -> int:
    config = _connect(Config, options, options.domain)
    value = config.read_string_value(options.domain, options.group, options.key)
    if value is None:
        return _fail(f"{options.domain} has no setting {options.key!r} in group {options.group!r}")
    print(value)
    return 0


def set_(options: Options) -> int:
    parse, write = _TYPES[options.type]
    value = parse(options.value)
    if value is None:
        return _fail(f"{options.value!r} is not a value of type {options.type}", code=2)
    write(_connect(Config, options, options.domain), options.domain, options.group, options.key, value)
    return 0


def list_(options: Options) -> int:
    if options.domain is None:
        names = _connect(Config, options).list_domains()
    elif options.group is None:
        names = _connect(Config, options, options.domain).list_config_groups(options.domain)
    else:
        names = _connect(Config, options, options.domain).list_config_keys(options.domain, options.group)
    for name in names:
        print(name)
    return 0


def remove(options: Options) -> int:
    config = _connect(Config, options, options.domain)
    if options.key is None:
        config.remove_group(options.domain, options.group)
    else:
        config.remove_key(options.domain, options.group, options.key)
    return 0


def watch(options: Options) -> int:
    watcher = _connect(Watcher, options, *options.domains)
    for domain in options.domains:
        watcher.monitor_domain(domain)
    print(f"watching {', '.join(options.domains)}", flush=True)
    return EventLoop.current().exec()


def tour(_options: Options) -> int:
    return run_tour()


class Watcher(Config):
    """Prints other clients' changes until the service ends."""

    def value_did_change(self, domain: str, group: str, key: str, value: str | int | bool) -> None:
        text = format_bool(value) if isinstance(value, bool) else escape(str(value))
        print(f"{domain}: [{group}] {key} is now {text}", flush=True)

    def key_was_removed(self, domain: str, group: str, key: str) -> None:
        print(f"{domain}: [{group}] {key} was removed", flush=True)

    def group_was_removed(self, domain: str, group: str) -> None:
        print(f"{domain}: [{group}] was removed", flush=True)

    def group_was_added(self, domain: str, group: str) -> None:
        print(f"{domain}: [{group}] was added", flush=True)

    def die(self) -> None:
        EventLoop.current().quit(_fail("the settings service has ended"))


C = TypeVar("C", bound=Config)


def _connect(kind: type[C], options: Options, *domains: str) -> C:
    # A closed output ends the command, as it ends any filter; the sockets here raise no SIGPIPE.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    EventLoop()
    config = kind.connect(options.socket)
    config.pledge_domains(list(domains))
    return config


def _fail(text: str, code: int = 1) -> int:
    print(f"config: {text}", file=sys.stderr, flush=True)
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 for success, 1 for a failure, 2 for a wrong command line."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except RemoteError as error:
        return _fail(error.text)
    except ServiceUnavailable:
        where = socket_path(options.socket)
        return _fail(f"no settings service is running at {where}: start one with `{_PROGRAM} serve`")
    except (CorelibError, IPCError, ConfigError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description="A settings service, and its client.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Options], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        added.add_argument(
            "--socket", metavar="PATH", default=DEFAULT_SOCKET_PATH, help="default: %(default)s"
        )
        return added

    serving = command("serve", serve, "Run the service until SIGTERM or Ctrl-C.")
    serving.add_argument(
        "--directory", metavar="PATH", type=Path, help="default: corelib-config in $XDG_CONFIG_HOME"
    )

    getting = command("get", get, "Print a setting; fail if there is none.")
    setting = command("set", set_, "Write a setting.")
    setting.add_argument("--type", choices=_TYPES, default="string")
    listing = command("list", list_, "List the domains, a domain's groups, or a group's keys.")
    removing = command("remove", remove, "Remove a setting, or a whole group.")
    watching = command("watch", watch, "Print every change in some domains until the service ends.")
    command("tour", tour, "Show a service and two apps at work.")

    for user in (getting, setting):
        user.add_argument("domain")
        user.add_argument("group")
        user.add_argument("key")
    setting.add_argument("value")
    listing.add_argument("domain", nargs="?")
    listing.add_argument("group", nargs="?")
    removing.add_argument("domain")
    removing.add_argument("group")
    removing.add_argument("key", nargs="?")
    watching.add_argument("domains", metavar="domain", nargs="+")
    return parser


if __name__ == "__main__":
    sys.exit(main())
