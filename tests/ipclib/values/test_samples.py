"""Values that codecs make up for tests: they are valid, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ipcc
from ipclib import AnonymousBuffer, Decoder, Encoder, File, codec_of, i32, ipc_type
from ipclib.gfx import ShareableBitmap
from ipclib.protocol.message import MessageType
from ipclib.values.decoding import Decoding
from ipclib.values.samples import Dice, NoSample
from tests.wire import golden_values

TESTS = Path(__file__).parents[2]
INTERFACES = [TESTS / "ipcc/Atlas.ipc", TESTS / "abuse/Abuse.ipc"]


def _messages() -> list[MessageType]:
    modules = [golden_values.load(), *(ipcc.load(interface) for interface in INTERFACES)]
    ends = [getattr(module, name) for module in modules for name in module.__all__]
    endpoints = [end for end in ends if hasattr(end, "SCHEMA")]
    return [message for endpoint in endpoints for message in endpoint.__ipc__]


MESSAGES = _messages()


def _content(value: Any) -> Any:
    """What two values of the same content have in common, where equality is identity."""
    if isinstance(value, File):
        with value:
            return Path(f"/proc/self/fd/{value.fileno()}").read_bytes()
    if isinstance(value, AnonymousBuffer):
        return bytes(value.data)
    if isinstance(value, ShareableBitmap):
        return (value.width, value.height, bytes(value.pixels))
    if isinstance(value, list | tuple):
        return [_content(element) for element in value]
    return value


def _read_back(message: MessageType, values: tuple[Any, ...]) -> tuple[Any, ...]:
    files: list[File] = []
    payload = message.encode(files, *values)
    data = payload if isinstance(payload, bytes) else b"".join(payload)
    decoding = Decoding()
    decoding.end, decoding.elements = len(data), 1_000_000
    decoding.files = [File(file.take_fd()) for file in files]
    decoded, at = message.decode(data, 0, decoding)
    assert at == len(data)
    decoding.check_files()
    return decoded


def _sampled(message: MessageType, dice: Dice) -> tuple[Any, ...]:
    return tuple(codec.sample(dice) for codec in message.codecs)


@given(seed=st.integers(0, 2**32))
def test_samples_of_every_type_are_read_back_as_they_were(seed: int) -> None:
    dice = Dice(seed)
    for message in MESSAGES:
        values = _sampled(message, dice)
        if message.holds_files:
            assert len(_read_back(message, values)) == len(values)
        else:
            assert _content(_read_back(message, values)) == _content(values)


def test_samples_are_the_same_for_the_same_seed() -> None:
    plain = [message for message in MESSAGES if not message.holds_files]
    first, again, other = (
        [_sampled(message, dice) for message in plain] for dice in (Dice(1), Dice(1), Dice(2))
    )
    assert first == again
    assert first != other


def test_files_and_shared_memory_are_made_up_with_content() -> None:
    contents = {_content(codec_of(File).sample(Dice(seed))) for seed in range(20)}
    assert len(contents) > 5
    with codec_of(AnonymousBuffer).sample(Dice(3)) as buffer:
        assert buffer.size > 0


@ipc_type("Sample::Even")
@attrs.frozen
class Even:
    """Refuses every second number."""

    number: i32 = attrs.field()

    @number.validator
    def _check(self, _field: object, number: int) -> None:
        if number % 2:
            raise ValueError("odd")


@ipc_type("Sample::Never")
@attrs.frozen
class Never:
    """Refuses every number but one."""

    number: i32 = attrs.field(validator=attrs.validators.in_([123_456_789]))


@ipc_type("Sample::Own")
@attrs.frozen
class Own:
    """Encodes itself."""

    number: int

    def encode(self, encoder: Encoder) -> None:
        encoder.i32(self.number)

    @classmethod
    def decode(cls, decoder: Decoder) -> Own:
        return cls(decoder.i32())


def test_a_value_that_a_class_refuses_is_made_up_anew() -> None:
    assert {codec_of(Even).sample(Dice(seed)).number % 2 for seed in range(50)} == {0}


@pytest.mark.parametrize("python", [Never, Own])
def test_a_class_whose_values_cannot_be_made_up_says_what_to_give(python: Any) -> None:
    with pytest.raises(NoSample, match=rf"no {python.__name__} can be made up: .*make={{{python.__name__}: "):
        codec_of(list[python]).sample(Dice(4))


def test_a_function_makes_the_values_of_its_class() -> None:
    dice = Dice(4, {Own: lambda random: Own(random.randint(1, 6)), Random: Random})
    assert codec_of(Own).sample(dice).number in range(1, 7)
