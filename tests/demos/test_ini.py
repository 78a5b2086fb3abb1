"""Owns the tests of INI text: its meaning, and what a change leaves as it was.
Must not know files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demos.config.errors import InvalidSetting
from demos.config.ini import Document, escape, is_group_name, is_key_name, unescape

WRITTEN_BY_HAND = """\
# how I like it
[ Window ]
; in pixels
width = 640
  height=480

# the rest
[Colours]
text=black
"""

texts = st.text(st.characters(codec="utf-8"))
groups = texts.filter(is_group_name)
keys = texts.filter(is_key_name)


def test_a_document_has_groups_keys_and_values() -> None:
    document = Document(WRITTEN_BY_HAND)
    assert document.groups() == ["Window", "Colours"]
    assert document.keys("Window") == ["width", "height"]
    assert document.get("Window", "width") == "640"
    assert document.get("Window", "depth") is None
    assert document.get("Nothing", "width") is None
    assert document.flaws == []


def test_unchanged_text_stays_as_it_was() -> None:
    assert Document(WRITTEN_BY_HAND).text == WRITTEN_BY_HAND


def test_a_change_touches_only_its_value() -> None:
    document = Document(WRITTEN_BY_HAND)
    assert document.set("Window", "width", "800")
    assert document.text == WRITTEN_BY_HAND.replace("640", "800")


def test_setting_the_same_value_changes_nothing() -> None:
    document = Document(WRITTEN_BY_HAND)
    assert not document.set("Window", "width", "640")
    assert document.text == WRITTEN_BY_HAND


def test_a_new_key_goes_below_the_last_of_its_group() -> None:
    document = Document(WRITTEN_BY_HAND)
    assert document.set("Window", "depth", "24")
    assert document.text == WRITTEN_BY_HAND.replace("  height=480\n", "  height=480\ndepth=24\n")


def test_a_new_empty_value_is_a_setting() -> None:
    document = Document()
    assert document.set("Group", "key", "")
    assert document.get("Group", "key") == ""


def test_a_new_group_goes_to_the_end() -> None:
    document = Document(WRITTEN_BY_HAND)
    assert document.set("Fonts", "size", "12")
    assert document.text == WRITTEN_BY_HAND + "\n[Fonts]\nsize=12\n"


def test_a_group_is_added_once() -> None:
    document = Document()
    assert document.add_group("Window")
    assert not document.add_group("Window")
    assert document.text == "[Window]\n"


def test_removing_a_key_leaves_the_comments() -> None:
    document = Document(WRITTEN_BY_HAND)
    assert document.remove_key("Window", "width")
    assert not document.remove_key("Window", "width")
    assert document.text == WRITTEN_BY_HAND.replace("width = 640\n", "")


def test_removing_a_group_leaves_what_leads_the_next() -> None:
    document = Document(WRITTEN_BY_HAND)
    assert document.remove_group("Window")
    assert not document.remove_group("Window")
    assert document.text == "# how I like it\n\n# the rest\n[Colours]\ntext=black\n"


def test_the_last_of_a_repeated_key_counts() -> None:
    document = Document("[G]\na=1\n[H]\n[G]\na=2\na=3\n")
    assert document.groups() == ["G", "H"]
    assert document.keys("G") == ["a"]
    assert document.get("G", "a") == "3"
    document.set("G", "a", "4")
    assert document.text == "[G]\na=1\n[H]\n[G]\na=2\na=4\n"
    document.remove_key("G", "a")
    assert document.get("G", "a") is None


@pytest.mark.parametrize("brace", ["[Window", "[]", "[ ]", "[Win\x07dow]"])
def test_a_broken_header_hides_its_settings_and_not_those_of_others(brace: str) -> None:
    text = f"[Colours]\ntext=black\n{brace}\nwidth=640\ntext=red\n"
    document = Document(text)
    assert document.groups() == ["Colours"]
    assert document.get("Colours", "width") is None
    assert document.get("Colours", "text") == "black"
    assert [number for number, _ in document.flaws] == [3, 4, 5]
    assert document.text == text


@pytest.mark.parametrize("line", ["width", "=640", "one two", "caf\udce9=1", "width=\udce9"])
def test_a_line_that_cannot_be_read_is_kept_and_told_of(line: str) -> None:
    document = Document(f"[Window]\n{line}\nheight=480\n")
    assert document.keys("Window") == ["height"]
    assert [number for number, _ in document.flaws] == [2]
    document.set("Window", "height", "500")
    document.remove_group("Window")
    assert document.text == f"{line}\n"


def test_settings_above_the_first_header_are_flaws() -> None:
    document = Document("width=640\n")
    assert document.groups() == []
    assert document.flaws == [(1, "the setting is not below a group; it is ignored")]


def test_a_file_of_a_windows_editor_is_read() -> None:
    document = Document("\ufeff[Window]\r\nwidth=640\r\n")
    assert document.get("Window", "width") == "640"
    assert document.flaws == []


def test_a_last_line_without_end_is_a_line() -> None:
    document = Document("[Window]\nwidth=640")
    document.set("Window", "height", "480")
    assert document.text == "[Window]\nwidth=640\nheight=480\n"


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "\ud800", "a\x00"])
def test_group_names_that_would_not_read_back_are_refused(name: str) -> None:
    document = Document()
    with pytest.raises(InvalidSetting, match="group"):
        document.add_group(name)
    with pytest.raises(InvalidSetting, match="group"):
        document.set(name, "key", "value")
    assert document.text == ""


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a=b", "#a", ";a", "[a", "\ud800"])
def test_key_names_that_would_not_read_back_are_refused(name: str) -> None:
    document = Document()
    with pytest.raises(InvalidSetting, match="key"):
        document.set("group", name, "value")
    assert document.text == ""


def test_values_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="UTF-8"):
        Document().set("group", "key", "\ud800")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain text", "plain text"),
        (" both ends ", r"\sboth ends\s"),
        (" ", r"\s"),
        ("two\nlines\r\n", r"two\nlines\r\n"),
        ("a\tb", r"a\tb"),
        (r"C:\new", r"C:\\new"),
        ("\x00\x85\u2028", r"\u0000\u0085\u2028"),
        ('["#; =', '["#; ='),
    ],
)
def test_values_are_written_on_one_line(value: str, written: str) -> None:
    assert escape(value) == written
    assert unescape(written) == value


@pytest.mark.parametrize("text", [r"C:\Program", r"100\%", "\\", r"\u12", r"\ud800", r"\udfff"])
def test_a_backslash_that_begins_no_escape_stands_for_itself(text: str) -> None:
    assert unescape(text) == text


@given(st.dictionaries(groups, st.dictionaries(keys, texts, min_size=1)))
def test_settings_read_back(settings: dict[str, dict[str, str]]) -> None:
    document = Document()
    for group, entries in settings.items():
        for key, value in entries.items():
            document.set(group, key, value)
    again = Document(document.text)
    assert again.flaws == []
    assert {
        group: {key: again.get(group, key) for key in again.keys(group)} for group in again.groups()
    } == settings


@given(st.lists(st.sampled_from(["[A]", "[B]", "[", "a=1", "b = 2", "# c", "", "junk", "\udcff"])))
def test_no_text_is_lost_by_setting_a_key(lines: list[str]) -> None:
    document = Document("".join(f"{line}\n" for line in lines))
    before = document.text.splitlines()
    document.set("New", "key", "value")
    assert document.text.splitlines()[: len(before)] == before
