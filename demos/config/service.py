"""Owns the settings service: which client may touch which domain, and which clients learn of a change.
Must not know the text of files and the command line."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from heapq import nsmallest

from corelib import LocalSocket
from demos.config.config_ipc import ConnectionFromClient
from demos.config.errors import ConfigError, shown
from demos.config.store import Domain, Store, check_domain
from demos.config.values import I32, U32, format_bool, parse_bool, parse_integer
from ipclib import HandlerError, Limits, MultiServer

_MOST_SHOWN = 5


class ConfigService:
    """Serves a store's settings to the clients that connect to a socket path.

    Changes are written on the loop, one after the other, so they reach watchers in the order in which they
    reach the disk."""

    def __init__(self, store: Store, socket_path: str) -> None:
        self.store = store
        self._server = MultiServer(functools.partial(ConfigClientConnection, self), socket_path)

    def watchers(self, domain: str) -> Iterator[ConfigClientConnection]:
        """Iterate over the clients that monitor a domain."""
        return (client for client in self._server.clients if domain in client.monitored)

    def close(self) -> None:
        """Stop listening, and give running calls a second to finish."""
        self._server.close(drain=1.0)


class ConfigClientConnection(ConnectionFromClient):
    """One client, which pledges its domains once and may then touch only those."""

    def __init__(
        self, service: ConfigService, socket: LocalSocket, client_id: int = 0, *, limits: Limits | None = None
    ) -> None:
        super().__init__(socket, client_id, limits=limits)
        self.monitored: set[str] = set()
        self._service = service
        self._pledged: frozenset[str] | None = None

    def pledge_domains(self, domains: list[str]) -> None:
        if self._pledged is not None:
            raise HandlerError("domains are pledged once, and this client has done so")
        with _refusing_in_words():
            for domain in domains:
                check_domain(domain)
        self._pledged = frozenset(domains)

    def monitor_domain(self, domain: str) -> None:
        self._check_pledge(domain)
        self.monitored.add(domain)

    def list_domains(self) -> list[str]:
        with _refusing_in_words():
            return self._service.store.domains()

    def list_config_groups(self, domain: str) -> list[str]:
        with self._settings(domain) as settings:
            return settings.groups()

    def list_config_keys(self, domain: str, group: str) -> list[str]:
        with self._settings(domain) as settings:
            return settings.keys(group)

    def read_string_value(self, domain: str, group: str, key: str) -> str | None:
        with self._settings(domain) as settings:
            return settings.get(group, key)

    def read_i32_value(self, domain: str, group: str, key: str) -> int | None:
        text = self.read_string_value(domain, group, key)
        return None if text is None else parse_integer(text, I32)

    def read_u32_value(self, domain: str, group: str, key: str) -> int | None:
        text = self.read_string_value(domain, group, key)
        return None if text is None else parse_integer(text, U32)

    def read_bool_value(self, domain: str, group: str, key: str) -> bool | None:
        text = self.read_string_value(domain, group, key)
        return None if text is None else parse_bool(text)

    def write_string_value(self, domain: str, group: str, key: str, value: str) -> None:
        if self._write(domain, group, key, value):
            for watcher in self._other_watchers(domain):
                watcher.async_notify_changed_string_value(domain, group, key, value)

    def write_i32_value(self, domain: str, group: str, key: str, value: int) -> None:
        if self._write(domain, group, key, str(value)):
            for watcher in self._other_watchers(domain):
                watcher.async_notify_changed_i32_value(domain, group, key, value)

    def write_u32_value(self, domain: str, group: str, key: str, value: int) -> None:
        if self._write(domain, group, key, str(value)):
            for watcher in self._other_watchers(domain):
                watcher.async_notify_changed_u32_value(domain, group, key, value)

    def write_bool_value(self, domain: str, group: str, key: str, value: bool) -> None:
        if self._write(domain, group, key, format_bool(value)):
            for watcher in self._other_watchers(domain):
                watcher.async_notify_changed_bool_value(domain, group, key, value)

    def remove_key_entry(self, domain: str, group: str, key: str) -> None:
        with self._settings(domain) as settings:
            removed = settings.remove_key(group, key)
        if removed:
            for watcher in self._other_watchers(domain):
                watcher.async_notify_removed_key(domain, group, key)

    def remove_group_entry(self, domain: str, group: str) -> None:
        with self._settings(domain) as settings:
            removed = settings.remove_group(group)
        if removed:
            for watcher in self._other_watchers(domain):
                watcher.async_notify_removed_group(domain, group)

    def add_group_entry(self, domain: str, group: str) -> None:
        with self._settings(domain) as settings:
            added = settings.add_group(group)
        if added:
            for watcher in self._other_watchers(domain):
                watcher.async_notify_added_group(domain, group)

    def _write(self, domain: str, group: str, key: str, text: str) -> bool:
        with self._settings(domain) as settings:
            return settings.set(group, key, text)

    def _other_watchers(self, domain: str) -> Iterator[ConfigClientConnection]:
        return (watcher for watcher in self._service.watchers(domain) if watcher is not self)

    @contextmanager
    def _settings(self, domain: str) -> Iterator[Domain]:
        """Yield a pledged domain; its errors become texts for the caller."""
        self._check_pledge(domain)
        with _refusing_in_words():
            yield self._service.store.domain(domain)

    def _check_pledge(self, domain: str) -> None:
        if self._pledged is None:
            raise HandlerError(f"domain {shown(domain)} is refused: call pledge_domains first")
        if domain not in self._pledged:
            raise HandlerError(
                f"domain {shown(domain)} is refused: this client pledged {_shown_all(self._pledged)}"
            )


def _shown_all(names: Collection[str]) -> str:
    """A few names, and how many more there are: a client can name a million."""
    few = nsmallest(_MOST_SHOWN, names)
    rest = len(names) - len(few)
    return (", ".join(few) or "none") + (f" and {rest} more" if rest else "")


@contextmanager
def _refusing_in_words() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise HandlerError(str(error)) from error
