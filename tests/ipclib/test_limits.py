"""A limit that makes no sense is refused where it is made."""

from __future__ import annotations

import math

import attrs
import pytest

from ipclib import Limits, Rate
from ipclib.connection.watchdog import Watch

FLAGS = ["maps_unsealed_memory"]
NUMBERS = [
    field.name for field in attrs.fields(Limits) if field.name not in ("frame_timeout", "rate", *FLAGS)
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, -1, -(1 << 70), 1 << 70, True, "5", None, 1.5], ids=repr
)
def test_a_count_that_makes_no_sense_is_refused(name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=f"Limits.{name} is a .*number.*not"):
        Limits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NUMBERS)
def test_the_default_and_a_thousand_are_accepted(name: str) -> None:
    assert getattr(Limits(**{name: getattr(Limits(), name)}), name) == getattr(Limits(), name)  # type: ignore[arg-type]
    if name != "max_fds_per_message":
        assert getattr(Limits(**{name: 1000}), name) == 1000  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-math.inf, math.nan, 0, -1, True, "5", None], ids=repr)
def test_a_frame_timeout_that_makes_no_sense_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"Limits\.frame_timeout .*seconds, not"):
        Limits(frame_timeout=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_true_or_false(name: str) -> None:
    for value in (0, 1, None, "yes", math.nan):
        with pytest.raises(TypeError, match=f"Limits.{name} is True or False, not"):
            Limits(**{name: value})  # type: ignore[arg-type]
    assert getattr(Limits(**{name: True}), name) is True  # type: ignore[arg-type]


def test_an_infinite_frame_timeout_is_never() -> None:
    stalls: list[str] = []
    watch = Watch(Limits(frame_timeout=math.inf).frame_timeout, lambda: 1, lambda: stalls.append("stalled"))
    watch.begin(interval=0.25)
    for _ in range(1000):
        assert watch.look()
    assert stalls == []


def test_what_the_kernel_and_the_wire_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 253"):
        Limits(max_fds_per_message=254)
    with pytest.raises(ValueError, match="from 24 to 4294967295"):
        Limits(max_message_size=1 << 32)


@pytest.mark.parametrize(
    "rate", [5, [Rate(per_second=1, burst=1)], (Rate(per_second=1, burst=1), 2)], ids=repr
)
def test_a_rate_of_another_type_is_refused(rate: object) -> None:
    with pytest.raises(TypeError, match="a Rate or a tuple of them"):
        Limits(rate=rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 0, -1, True, "5", None], ids=repr)
@pytest.mark.parametrize("name", ["per_second", "burst"])
def test_a_rate_that_makes_no_sense_is_refused(name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=f"Rate.{name}"):
        Rate(**{"per_second": 1, "burst": 1, name: value})  # type: ignore[arg-type]


def test_a_rate_by_which_no_message_could_ever_come_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Rate(per_second=10, burst=0.5)
