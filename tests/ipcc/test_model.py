"""Owns the tests of the checked model: numbers, hashes, signatures and Python names.

Must not know the text that is written from it.
"""

from __future__ import annotations

import zlib

import pytest

from ipcc.model import Endpoint, Message, Run
from ipcc.wire_numbers import endpoint_magic
from tests.ipcc.compiling import model


def endpoint(body: str, name: str = "ClockServer") -> Endpoint:
    (only,) = model(f"endpoint {name} {{ {body} }}").endpoints
    return only


def message(text: str) -> Message:
    (only,) = endpoint(text).messages
    return only


@pytest.mark.parametrize(
    ("name", "magic"),
    [
        ("ClipboardServer", 1329211611),
        ("ClipboardClient", 4008793515),
        ("WindowServer", 2938215075),
        ("A", 2181104624),
        ("Ä", 2880740626),
    ],
)
def test_magic_is_libipcs(name: str, magic: int) -> None:
    assert endpoint_magic(name) == magic
    assert endpoint("", name).magic == magic


def test_a_synchronous_message_takes_two_ids() -> None:
    assert [m.id for m in endpoint("a() =| b() => () c() => () d() =|").messages] == [1, 2, 4, 6]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("add(i32 a, i32 b) => (i32 sum)", "ClockServer.add(i32,i32)=>(i32)"),
        ("tick(double now) =|", "ClockServer.tick(double)=|"),
        ("ping() => ()", "ClockServer.ping()=>()"),
        ("f(int a, unsigned b, size_t c) =|", "ClockServer.f(i32,u32,u64)=|"),
        (
            "f(StringView a, ByteBuffer b, ::AK::ByteString c) =|",
            "ClockServer.f(String,ByteString,ByteString)=|",
        ),
        (
            "f([UTF8] AK::ByteString a, [File] b, IPC::File c) =|",
            "ClockServer.f([UTF8] ByteString,IPC::File,IPC::File)=|",
        ),
        ("f(HashMap< String, Vector<int> > a) =|", "ClockServer.f(HashMap<String,Vector<i32>>)=|"),
        ("f(Vector<u8> a, Vector<ByteBuffer> b) =|", "ClockServer.f(Vector<u8>,Vector<ByteString>)=|"),
        ("connect(Optional<i8> class) =|", "ClockServer.connect(Optional<i8>)=|"),
    ],
)
def test_a_signature_is_computed_from_canonical_text(text: str, canonical: str) -> None:
    assert message(text).signed_text == canonical
    assert message(text).signature == zlib.crc32(canonical.encode())


@pytest.mark.parametrize(
    ("name", "method", "message_class", "response_class"),
    [
        ("echo_string", "echo_string", "EchoString", "EchoStringResponse"),
        ("echoString", "echoString", "EchoString", "EchoStringResponse"),
        ("connect", "connect_", "Connect", "ConnectResponse"),
        ("class", "class_", "Class", "ClassResponse"),
        ("none", "none", "None_", "NoneResponse"),
        ("None", "None_", "None_", "NoneResponse"),
        ("MAGIC", "MAGIC", "MAGIC_", "MAGICResponse"),
        ("clock_server", "clock_server", "ClockServer_", "ClockServerResponse"),
        ("ClockServer", "ClockServer_", "ClockServer_", "ClockServerResponse"),
        ("ärger_machen", "ärger_machen", "ÄrgerMachen", "ÄrgerMachenResponse"),
    ],
)
def test_messages_get_names_that_python_can_use(
    name: str, method: str, message_class: str, response_class: str
) -> None:
    found = message(f"{name}() => ()")
    assert (found.name, found.python) == (name, method)
    assert (found.class_name, found.response_class) == (message_class, response_class)
    assert found.async_python == f"async_{method}"


def test_parameters_get_names_that_python_can_use() -> None:
    found = message("f(i32 timeout, i32 wait, i32 peer, i32 from, i32 ClockServer, i32 fine) =|")
    names = [parameter.python for parameter in found.inputs.parameters]
    assert names == ["timeout_", "wait_", "peer_", "from_", "ClockServer_", "fine"]


@pytest.mark.parametrize(
    ("parameters", "steps"),
    [
        ("", []),
        ("i32 a, u8 b, double c", ["iBd"]),
        ("bool a, String b", ["BI", "b"]),
        ("String a, ByteString b, i8 c", ["I", "a", "I", "b", "b"]),
        ("i32 a, Vector<i32> b, i32 c", ["i", "b", "i"]),
        ("Vector<u8> a, IPC::File b", ["I", "a", "b"]),
    ],
)
def test_fixed_size_values_are_packed_in_runs(parameters: str, steps: list[str]) -> None:
    laid_out = message(f"f({parameters}) =|").inputs.steps
    assert [step.format if isinstance(step, Run) else step.name for step in laid_out] == steps


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("endpoint AServer {} endpoint AClient {}", [("AServer", "AClient", "ConnectionToServer")]),
        ("endpoint A {}", [("A", None, "ConnectionToServer")]),
        ("endpoint AClient {}", [(None, "AClient", "ConnectionToServer")]),
        (
            "endpoint AServer {} endpoint BClient {} endpoint AClient {}",
            [("AServer", "AClient", "AConnectionToServer"), (None, "BClient", "BConnectionToServer")],
        ),
        (
            "endpoint A {} endpoint AClient {}  endpoint B {}",
            None,
        ),
    ],
)
def test_endpoints_are_paired_by_their_names(
    text: str, pairs: list[tuple[str | None, str | None, str]] | None
) -> None:
    if pairs is None:
        with pytest.raises(AssertionError, match="AConnectionToServer"):
            model(text)
        return
    found = [(p.server and p.server.name, p.client and p.client.name, p.to_server) for p in model(text).pairs]
    assert found == pairs


def test_schema_is_canonical_text_and_compiles_to_itself() -> None:
    (found,) = model(
        "/// The time.\nendpoint Clock{ tick ( )=|/// not\n"
        " ///  Adds.\n add(i32  a,[File]f)=>( Vector < i32 > b ) }"
    ).endpoints
    assert found.schema == (
        "/// The time.\n"
        "endpoint Clock\n"
        "{\n"
        "    tick() =|\n"
        "    ///  Adds.\n"
        "    add(i32 a, [File] f) => (Vector<i32> b)\n"
        "}\n"
    )
    (again,) = model(found.schema).endpoints
    assert again == found


def test_codecs_are_made_once_and_parts_first() -> None:
    compilation = model("endpoint A { f(HashMap<String, Vector<i32>> a, Vector<i32> b, Vector<int> c) =| }")
    assert [codec.name for codec in compilation.codecs] == ["_Vector_i32", "_HashMap_String_Vector_i32"]


def test_builtins_whose_names_are_taken_are_known() -> None:
    assert model("endpoint A { list(i32 len, i32 print) =| }").shadowed == {"list", "len"}
