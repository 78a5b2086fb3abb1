"""Owns settings for apps, after SerenityOS's LibConfig: typed reads with a fallback, and hooks for changes.
Must not know where settings are stored: only the interface."""

from __future__ import annotations

from typing import TypeVar

from demos.config.config_ipc import ConnectionToServer

DEFAULT_SOCKET_PATH = "/tmp/session/%sid/portal/config"

T = TypeVar("T")


class Config(ConnectionToServer):
    """An app's connection to the settings service.

    Call `pledge_domains` first. Override the hooks to learn of other apps' changes in the domains that were
    given to `monitor_domain`. A call that the service refuses raises RemoteError with the reason as text."""

    def value_did_change(self, domain: str, group: str, key: str, value: str | int | bool) -> None:
        """Hook: another client gave a setting this value."""

    def key_was_removed(self, domain: str, group: str, key: str) -> None:
        """Hook: another client removed a setting."""

    def group_was_removed(self, domain: str, group: str) -> None:
        """Hook: another client removed a group with its settings."""

    def group_was_added(self, domain: str, group: str) -> None:
        """Hook: another client added an empty group."""

    def read_string(self, domain: str, group: str, key: str, fallback: str = "") -> str:
        """Return a setting, or the fallback if it is missing."""
        return _or(self.read_string_value(domain, group, key), fallback)

    def read_i32(self, domain: str, group: str, key: str, fallback: int = 0) -> int:
        """Return a setting, or the fallback if it is missing or not an i32."""
        return _or(self.read_i32_value(domain, group, key), fallback)

    def read_u32(self, domain: str, group: str, key: str, fallback: int = 0) -> int:
        """Return a setting, or the fallback if it is missing or not a u32."""
        return _or(self.read_u32_value(domain, group, key), fallback)

    def read_bool(self, domain: str, group: str, key: str, fallback: bool = False) -> bool:
        """Return a setting, or the fallback if it is missing or neither true nor false."""
        return _or(self.read_bool_value(domain, group, key), fallback)

    def write_string(self, domain: str, group: str, key: str, value: str) -> None:
        """Write a setting; it is on disk when this returns."""
        self.write_string_value(domain, group, key, value)

    def write_i32(self, domain: str, group: str, key: str, value: int) -> None:
        """Write a setting; it is on disk when this returns."""
        self.write_i32_value(domain, group, key, value)

    def write_u32(self, domain: str, group: str, key: str, value: int) -> None:
        """Write a setting; it is on disk when this returns."""
        self.write_u32_value(domain, group, key, value)

    def write_bool(self, domain: str, group: str, key: str, value: bool) -> None:
        """Write a setting; it is on disk when this returns."""
        self.write_bool_value(domain, group, key, value)

    def remove_key(self, domain: str, group: str, key: str) -> None:
        """Remove a setting if it exists; it is gone from the disk when this returns."""
        self.remove_key_entry(domain, group, key)

    def remove_group(self, domain: str, group: str) -> None:
        """Remove a group with its settings if it exists; it is gone from the disk when this returns."""
        self.remove_group_entry(domain, group)

    def add_group(self, domain: str, group: str) -> None:
        """Add an empty group unless it exists; it is on disk when this returns."""
        self.add_group_entry(domain, group)

    def notify_changed_string_value(self, domain: str, group: str, key: str, value: str) -> None:
        self.value_did_change(domain, group, key, value)

    def notify_changed_i32_value(self, domain: str, group: str, key: str, value: int) -> None:
        self.value_did_change(domain, group, key, value)

    def notify_changed_u32_value(self, domain: str, group: str, key: str, value: int) -> None:
        self.value_did_change(domain, group, key, value)

    def notify_changed_bool_value(self, domain: str, group: str, key: str, value: bool) -> None:
        self.value_did_change(domain, group, key, value)

    def notify_removed_key(self, domain: str, group: str, key: str) -> None:
        self.key_was_removed(domain, group, key)

    def notify_removed_group(self, domain: str, group: str) -> None:
        self.group_was_removed(domain, group)

    def notify_added_group(self, domain: str, group: str) -> None:
        self.group_was_added(domain, group)


def _or(value: T | None, fallback: T) -> T:
    return fallback if value is None else value
