"""Owns random valid interfaces, as text, for property tests.

Must not know the compiler.
"""

from __future__ import annotations

from hypothesis import strategies as st

NAMES = (
    *(
        "a",
        "name",
        "list",
        "int",
        "id",
        "len",
        "bytes",
        "timeout",
        "class",
        "connect",
        "None",
        "e_2",
        "größe",
    ),
    *("a_rather_long_name_for_one_parameter", "another_name_that_is_so_long_that_few_lines_have_room_for_it"),
)
NUMBERS = (
    "i8",
    "u8",
    "i16",
    "u16",
    "i32",
    "u32",
    "i64",
    "u64",
    "int",
    "unsigned",
    "size_t",
    "float",
    "double",
)
VALUES = (
    *("JsonValue", "Duration", "AK::UnixDateTime", "Core::DateTime", "URL::URL", "Origin", "Core::ProxyData"),
    *("Core::File::OpenMode", "Core::AnonymousBuffer", "Gfx::IntRect", "Color", "Gfx::ShareableBitmap"),
)
DECLARED = ("Geo::Point", "Geo::Kind", "Tree", "list")
PLAIN = (
    *("bool", "String", "StringView", "ByteString", "AK::ByteBuffer", "::IPC::File", *NUMBERS),
    *(*VALUES, *DECLARED),
)
KEYS = ("bool", "i32", "u64", "String", "ByteString", "Geo::Point", "Geo::Kind", "Duration")
DEFINITIONS = """
/// A place.
struct Geo::Point { i32 x; /// Not this.
 i32 y; }
enum Geo::Kind : u8 { CITY, /// This.
 RIVER = 7, value }
struct Tree { String label; Vector<Tree> children; Optional<list> int; }
struct list { Array<Geo::Kind, 3> class; HashMap<Geo::Point, u8> len; }
"""
DOCUMENTATION = ("", '/// Says "hello"\n', '/// A path: C:\\\n/// """\n///\n///   indented\n', "// no doc\n")


def types() -> st.SearchStrategy[str]:
    def composite(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            inner.map("Vector<{}>".format),
            inner.map("Optional< {} >".format),
            inner.map("Array<{}, 3>".format),
            st.lists(inner, min_size=1, max_size=3).map(lambda types: f"Variant<{', '.join(types)}>"),
            st.builds("OrderedHashMap<{}, {}>".format, st.sampled_from(KEYS), inner),
            st.builds("HashMap<{}, {}>".format, st.sampled_from(KEYS), inner),
        )

    return st.recursive(st.sampled_from(PLAIN), composite, max_leaves=3)


def parameter_lists() -> st.SearchStrategy[str]:
    kinds = st.one_of(types(), st.sampled_from(("[UTF8] ByteString", "[File]", "[Bitmap]", "Empty")))
    names = st.lists(st.sampled_from(NAMES), unique=True, max_size=8)
    return names.flatmap(
        lambda chosen: st.tuples(*(st.builds("{} {}".format, kinds, st.just(name)) for name in chosen))
    ).map(lambda parameters: f"({', '.join(parameters)})")


def messages(name: str) -> st.SearchStrategy[str]:
    answers = st.one_of(st.just("=|"), parameter_lists().map("=> {}".format))
    return st.builds(
        "{}{}{} {}".format, st.sampled_from(DOCUMENTATION), st.just(name), parameter_lists(), answers
    )


def endpoints(name: str, message_names: tuple[str, ...]) -> st.SearchStrategy[str]:
    chosen = st.lists(st.sampled_from(message_names), unique=True, max_size=5)
    bodies = chosen.flatmap(lambda names: st.tuples(*map(messages, names)))
    return st.builds(
        "{}endpoint {} {{\n{}\n}}\n".format,
        st.sampled_from(DOCUMENTATION),
        st.just(name),
        bodies.map("\n".join),
    )


def interfaces() -> st.SearchStrategy[str]:
    """A pair of endpoints, one that has no partner, and types."""
    ours = (
        "add",
        "list",
        "int",
        "connect",
        "take_2",
        "None",
        "a_message_with_quite_a_long_name_indeed",
        "Ünicode",
    )
    theirs = ("tick", "dict", "die", "server", "answer")
    return st.tuples(
        st.just(DEFINITIONS),
        endpoints("ClockServer", ours),
        endpoints("ClockClient", theirs),
        endpoints("Alone", ours),
    ).map("".join)
