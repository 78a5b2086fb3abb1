"""Owns the tests of hints for unknown types, beyond the examples in `bad/`: no hint leads to a narrower type.

Must not know where a hint is shown.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcc.builtin_types import BUILTIN_NAMES, look_up
from ipcc.spelling import did_you_mean_type, meant_by, meant_by_words
from tests.ipcc.compiling import errors, write

BITS = {"int": 32, "unsigned": 32, "size_t": 64, "float": 32, "double": 64}
BITS |= {f"{sign}{bits}": bits for sign in "iu" for bits in (8, 16, 32, 64)}

forms = st.sampled_from(
    [
        *(
            "int{}",
            "int{}_t",
            "Int{}",
            "INT{}",
            "i{}",
            "I{}",
            "int_{}",
            "integer{}",
            "std::int{}_t",
            "signed{}",
        ),
        *("uint{}", "uint{}_t", "UInt{}", "u{}", "u_int{}", "unsigned{}", "int_fast{}_t", "uint_least{}_t"),
        *("float{}", "float{}_t", "Float{}", "f{}", "fp{}", "double{}", "real{}", "float_{}"),
        *("in{}", "nt{}", "unt{}", "uin{}_t", "flot{}", "ii{}", "int{}t", "long{}", "word{}"),
    ]
)


def suggested(hint: str) -> list[str]:
    """The built-in types that a hint names."""
    return [name for name in re.findall(r"[\w:]+", hint) if look_up(name) and name in BITS]


@given(forms, st.integers(0, 200))
def test_no_hint_names_a_type_of_fewer_bits_than_the_word(form: str, bits: int) -> None:
    hint = did_you_mean_type(form.format(bits), BUILTIN_NAMES)
    narrower = [name for name in suggested(hint) if BITS[name] < bits]
    assert narrower == [], hint


@given(
    st.sampled_from(["u{}", "uint{}", "uint{}_t", "UInt{}", "unsigned{}"]), st.sampled_from([8, 16, 32, 64])
)
def test_an_unsigned_word_means_an_unsigned_type(form: str, bits: int) -> None:
    assert meant_by(form.format(bits)) == f"u{bits}"


@given(st.text(alphabet="abdefgilnorstu_", min_size=2, max_size=12))
def test_a_word_is_compared_with_number_types_only_if_it_is_about_as_long(word: str) -> None:
    hint = did_you_mean_type(word, BUILTIN_NAMES)
    known = {"long", "longlong", "long_long", "bigint", "isize", "usize", "ulong", "ulonglong", "integer"}
    if hint.startswith("did you mean") and word not in known and not meant_by(word):
        assert all(abs(len(name) - len(word)) <= 2 for name in suggested(hint))


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *(("str", "String"), ("STRING", "String"), ("std::string", "String"), ("bytes", "ByteString")),
        *(("list", "Vector"), ("List", "Vector"), ("std::vector", "Vector"), ("Dict", "HashMap")),
        *(("dict", "HashMap"), ("unordered_map", "HashMap"), ("Optional", "Optional"), ("Union", "Variant")),
        *(("boolean", "bool"), ("None", "Empty"), ("datetime", "Core::DateTime"), ("timedelta", "Duration")),
        *(
            ("byte", "u8"),
            ("short", "i16"),
            ("long", "i64"),
            ("bigint", "i64"),
            ("usize", "u64"),
            ("Strng", ""),
        ),
    ],
)
def test_a_word_of_another_language_means_a_type(word: str, meant: str) -> None:
    assert meant_by(word) == meant
    assert not meant or look_up(meant)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        *(
            ("unsigned int", "u32"),
            ("unsigned long", "u64"),
            ("unsigned long int", "u64"),
            ("long long", "i64"),
        ),
        *(("unsigned long long int", "u64"), ("unsigned char", "u8"), ("long double", ""), ("i32 x", "")),
    ],
)
def test_several_words_of_c_mean_a_type(words: str, meant: str) -> None:
    assert meant_by_words(words.split()) == meant


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("int64", "write 'i64' from ipclib"),
        ("uint32_t", "write 'u32' from ipclib"),
        ("float64", "write 'double' from ipclib"),
        ("f32", "write 'float_' from ipclib"),
        ("string", "write 'str'"),
        ("bytearray", "write 'bytes'"),
        ("List[str]", "write 'list'"),
        ("Dict[str, i32]", "write 'dict'"),
        ("i46", "write i64"),
    ],
)
def test_an_annotation_of_another_language_is_explained_in_python_s_terms(
    folder: Path, written: str, hint: str
) -> None:
    head = "import attrs\nfrom ipclib import ipc_type, i32\n@ipc_type('P')\n@attrs.frozen\nclass P:\n"
    write("shapes.py", f"{head}    x: {written}\n")
    write("A.ipc", '#include "shapes.py"\nendpoint A {}')
    assert hint in errors("A.ipc")


def test_a_hint_of_a_declared_type_comes_before_the_nearest_built_in_one(folder: Path) -> None:
    write("A.ipc", "struct Geo::Point { i32 x; }\nendpoint A { f(Point p, Geo::Pont q) =| }")
    shown = errors("A.ipc")
    assert shown.count("did you mean 'Geo::Point'?") == 2


@pytest.mark.parametrize("written", ["Vector<unsigned int> x", "HashMap<String, Vector<unsigned int>> x"])
def test_a_type_of_several_words_is_explained_among_arguments_too(folder: Path, written: str) -> None:
    write("A.ipc", f"endpoint A {{ f({written}) =| }}")
    shown = errors("A.ipc")
    assert "'unsigned int' is not a type: a type is one word" in shown
    assert "write 'u32'" in shown
    assert shown.count("error:") == 1


@pytest.mark.parametrize("number", ["= 804", "[magic=804]", "[magic = 0x20]"])
def test_an_endpoint_s_number_of_old_interface_files_is_one_error(folder: Path, number: str) -> None:
    write("A.ipc", f"endpoint A {number}\n{{ f() =| }}")
    shown = errors("A.ipc")
    assert "an endpoint with a number" in shown
    assert shown.count("error:") == 1
