"""Owns the tests of the generated text: its exact shape, its formatting and its types.

Must not know what the text does when it runs.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings

from ipcc.compiler import compile_files, compile_sources
from ipcc.source import Source
from tests.ipcc.interfaces import interfaces

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
INTERFACES = [HERE / "GoldenClock.ipc", HERE / "Awkward.ipc", HERE / "Atlas.ipc"]

needs_ruff = pytest.mark.skipif(find_spec("ruff") is None, reason="ruff is not installed")
needs_pyright = pytest.mark.skipif(find_spec("pyright") is None, reason="pyright is not installed")
needs_mypy = pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")


def module(text: str) -> str:
    return compile_sources([Source("x.ipc", text)])


def ruff(*arguments: str, text: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=ROOT)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_module_is_the_golden_one() -> None:
    """After a change: python -m ipcc tests/ipcc/GoldenClock.ipc -o tests/ipcc/golden_clock_ipc.py."""
    assert compile_files([str(HERE / "GoldenClock.ipc")]) == (HERE / "golden_clock_ipc.py").read_text()


def test_the_module_holds_no_folder_of_its_source(tmp_path: Path) -> None:
    text = (HERE / "GoldenClock.ipc").read_text()
    (tmp_path / "GoldenClock.ipc").write_text(text)
    assert compile_files([str(tmp_path / "GoldenClock.ipc")]) == compile_files(
        [str(HERE / "GoldenClock.ipc")]
    )


@needs_ruff
@pytest.mark.parametrize(
    "path",
    [*INTERFACES[:1], *(pytest.param(path, marks=pytest.mark.slow) for path in INTERFACES[1:])],
    ids=lambda path: path.stem,
)
def test_a_module_is_formatted_and_passes_the_linter(path: Path) -> None:
    text = compile_files([str(path)])
    assert ruff("format", "--diff", "--line-length", "110", text=text) == ""
    assert ruff("check", "--ignore", "RUF023,E501", "--ignore-noqa", text=text) == ""


def test_a_module_imports_only_what_it_uses() -> None:
    inside = "struct S { UnixDateTime t; } endpoint A { f(S s) => (Duration d) }"
    assert "_datetime" not in module(inside)
    assert module("endpoint A { f(Duration d) =| }").count("_datetime") == 3


def test_a_struct_of_many_parts_has_no_loop_of_its_own() -> None:
    """Written out, S30 would have 2**30 parts."""
    doubled = "".join(f"struct S{n + 1} {{ S{n} a; S{n} b; }}" for n in range(30))
    text = module(f"struct S0 {{ i32 a; }} {doubled} endpoint A {{ f(Vector<S30> s) =| }}")
    assert "_Vector_S30 = _ipc.vector(_S30)" in text
    assert "_S5 = _ipc.structure(S5, _S4, _S4)" in text
    assert "class _S4_Codec(" not in text
    assert "class _S3_Codec(" in text


@pytest.mark.slow
@needs_ruff
@settings(max_examples=25, deadline=None, derandomize=True)
@given(interfaces())
def test_any_interface_is_formatted(text: str) -> None:
    assert ruff("format", "--diff", "--line-length", "110", text=module(text)) == ""


@pytest.mark.slow
@settings(max_examples=30, deadline=None, derandomize=True)
@given(interfaces())
def test_any_interface_compiles(text: str) -> None:
    generated = module(text)
    compile(generated, "x_ipc.py", "exec")
    assert generated == module(text)


@pytest.mark.slow
@needs_mypy
def test_mypy_finds_the_wrong_uses_of_a_module_alone(tmp_path: Path) -> None:
    for path in INTERFACES:
        (tmp_path / f"{path.stem.lower()}_ipc.py").write_text(compile_files([str(path)]))
    uses = tmp_path / "uses.py"
    uses.write_text(USES)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--python-version=3.11"]
    command += [
        "--config-file=",
        f"--cache-dir={tmp_path / 'cache'}",
        *map(str, sorted(tmp_path.glob("*.py"))),
    ]
    environment = {"MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    wrong = [number for number, line in enumerate(USES.splitlines(), 1) if line.endswith("# wrong")]
    assert [line.partition(": error")[0] for line in errors] == [f"{uses}:{number}" for number in wrong]


@pytest.mark.slow
@needs_pyright
def test_pyright_finds_the_wrong_uses_of_a_module_alone(tmp_path: Path) -> None:
    for path in INTERFACES:
        (tmp_path / f"{path.stem.lower()}_ipc.py").write_text(compile_files([str(path)]))
    (tmp_path / "uses.py").write_text(USES)
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"], "pythonVersion": "3.11"}}')
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    errors = {line.split(":")[1] for line in done.stdout.splitlines() if " - error: " in line}
    wrong = {str(n) for n, line in enumerate(USES.splitlines(), 1) if line.endswith("# wrong")}
    assert errors == wrong, done.stdout


USES = """\
from goldenclock_ipc import ClockServer, ConnectionFromClient, ConnectionToServer


class Good(ConnectionFromClient):
    def add(self, a: int, b: int) -> int:
        return a + b

    def list(self, names: list[str], limit: int | None) -> tuple[dict[str, int], bool]:
        self.async_tick(1.5)
        return {}, False

    def log(self, id: int, text: str) -> None: ...


class Bad(ConnectionFromClient):
    def add(self, a: str, b: int) -> int:  # wrong
        return b

    def echo_string(self, text: str) -> bytes:  # wrong
        return text.encode()


def use(clock: ConnectionToServer) -> None:
    sum: int = clock.add(1, 2, timeout=0.5)
    data: bytes = clock.echo_bytes(bytearray(b"x"))
    more: bool = clock.list([], None).more
    clock.add("1", 2)  # wrong
    clock.async_log(1, 2)  # wrong
    text: str = clock.add(1, 2)  # wrong
    print(sum, data, more, text, ClockServer.Add(1, 2).a)
"""


def test_a_builtin_whose_name_a_message_takes_is_qualified_throughout() -> None:
    tree = ast.parse(compile_files([str(HERE / "Awkward.ipc")]))
    names = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    assert not names & {"list", "dict", "staticmethod", "tuple", "bytes"} - parameters
    assert "_builtins" not in module("endpoint A { f(Vector<i32> a) =| }")


def test_a_payload_is_packed_by_as_few_expressions_as_possible() -> None:
    text = module(
        """endpoint A {
            one(String a) =|
            two(i32 a, Vector<i32> b) =|
            three(String a, String b) =|
            pieces(i32 a, ByteString b) =|
            blob(Vector<u8> a) =|
        }"""
    )
    assert "return _I.pack(len(_raw_a)) + _raw_a" in text
    assert "return _i.pack(a) + _Vector_i32.encode(b, _files)" in text
    assert 'return b"".join((_I.pack(len(_raw_a)), _raw_a, _I.pack(len(_raw_b)), _raw_b))' in text
    assert "return _iI.pack(a, len(_raw_b)), _raw_b" in text
    assert "_codecs = (_ipc.byte_string,)" in text


def test_an_endpoint_without_a_partner_pairs_with_an_empty_one() -> None:
    assert (
        "class ConnectionToServer(_ipc.ConnectionToServer, AProxy, calls=A, serves=_ipc.Endpoint):"
        in module("endpoint A {}")
    )
    assert "class ConnectionFromClient(_ipc.ConnectionFromClient, AClientProxy, calls=AClient" in module(
        "endpoint AClient {}"
    )


def test_a_file_without_endpoints_makes_a_module_without_imports() -> None:
    text = module("// nothing here")
    compile(text, "x_ipc.py", "exec")
    assert "import" not in text.replace("from __future__ import annotations", "")


def test_odd_characters_in_documentation_stay_text() -> None:
    namespace: dict[str, object] = {}
    text = module('/// \\ """ \u202e \x07 "\nendpoint A {}')
    exec(text.replace("from ipclib import generated as _ipc", FAKE_RUNTIME), namespace)
    endpoint = namespace["A"]
    assert endpoint.__doc__ is not None
    assert endpoint.__doc__.strip() == '\\ """ \u202e \x07 "'
    assert endpoint.SCHEMA.startswith('/// \\ """ \u202e \x07 "\nendpoint A\n')  # type: ignore[attr-defined]


FAKE_RUNTIME = """
class _Any:
    def __init_subclass__(cls, **keywords): pass
class _ipc:
    Endpoint = Proxy = Stub = _Any
    def require(module, version): pass
    class ConnectionToServer(_Any): pass
    class ConnectionFromClient(_Any): pass
"""
