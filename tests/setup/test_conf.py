"""Editing Asterisk's configuration text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.setup import conf
from callrec_pbx.setup.errors import SetupError

PIECES = st.sampled_from(
    [
        "[general]",
        "[applicationmap]",
        "[a](+) ; x",
        ";--",
        "--;",
        "; text",
        ";--- text",
        "enabled = no",
        "enabled=>no;x",
        "bindaddr = 0.0.0.0",
        "#include x.conf",
        "",
        "  ",
        "\xc3\x85 \x85 \x0c",
        "a \\; b",
        "x",
    ]
)
BREAKS = st.sampled_from(["\n", "\r\n"])
TEXTS = st.builds(
    lambda pieces, end, last: end.join(pieces) + (end if last else ""),
    st.lists(PIECES, max_size=12),
    BREAKS,
    st.booleans(),
)


def usable(text: str) -> bool:
    """Whether comments are closed where something of ours would go."""
    try:
        conf.refuse_open_comment(text, "x")
    except SetupError:
        return False
    return not any(line.opens and line.section for line in conf.lines(text))


GOOD = TEXTS.filter(usable)
WANTED = {"enabled": "yes", "bindaddr": "127.0.0.1"}


@given(GOOD, st.sampled_from(["", "applicationmap"]))
def test_a_block_goes_in_once_and_comes_out_exactly(text: str, section: str) -> None:
    lines = ['#include "callrec/x.conf"']
    there = conf.with_block(text, lines, "x", section)
    assert conf.with_block(there, lines, "x", section) == there
    newline_added = len(conf.without_block(there, "x", False)) > len(text)
    assert conf.without_block(there, "x", newline_added) == text


@given(GOOD)
def test_settings_go_in_once_and_come_out_exactly(text: str) -> None:
    there = conf.with_settings(text, "general", WANTED, "x")
    assert conf.with_settings(there, "general", WANTED, "x") == there
    assert conf.without_settings(there) == text
    assert conf.settings(there, "general").items() >= WANTED.items()


@given(GOOD)
def test_block_and_settings_together_come_out_exactly(text: str) -> None:
    block = conf.with_block(text, ["#include x"], "x")
    newline_added = len(conf.without_block(block, "x", False)) > len(text)
    there = conf.with_settings(block, "general", WANTED, "x")
    assert conf.without_block(conf.without_settings(there), "x", newline_added) == text


def test_a_block_is_brought_up_to_date_in_its_place() -> None:
    there = conf.with_block("[a]\n", ["#include old"], "x")
    assert conf.with_block("; before\n" + there, ["#include new"], "x").startswith(
        "; before\n; >>>"
    )
    assert "old" not in conf.with_block(there, ["#include new"], "x")


def test_what_others_wrote_around_the_block_stays() -> None:
    there = conf.with_block("[a]\nx = 1", ["#include x"], "x")
    assert conf.without_block(there + "\ny = 2\n", "x", False) == "[a]\nx = 1\ny = 2\n"


def test_a_file_that_begins_within_a_section_has_the_block_at_its_end() -> None:
    there = conf.with_block("x = 1", ["#include y"], "x")
    assert there.startswith("x = 1\n; >>>")
    assert conf.without_block(there, "x", True) == "x = 1"


def test_a_block_at_the_top_keeps_later_lines_out_of_our_sections() -> None:
    assert conf.with_block("; hello\n[a]\nx = 1\n", ["#include y"], "x").startswith("; >>>")


def test_a_comment_is_not_a_section() -> None:
    text = ";[applicationmap]\n;--\n[applicationmap]\n--;\n[b] ; [applicationmap]\n"
    assert not conf.has_section(text, "applicationmap")
    assert conf.has_section(text + "[applicationmap](+)\n", "applicationmap")


def test_three_dashes_do_not_open_a_block_comment() -> None:
    assert conf.has_section(";--- text\n[x]\n", "x")


def test_a_byte_of_a_character_is_not_a_line_break() -> None:
    text = "; Å[x]\n".encode().decode("latin-1")
    assert "\x85" in text
    assert not conf.has_section(text, "x")


def test_a_damaged_block_is_not_guessed_at() -> None:
    there = conf.with_block("[a]\n", ["#include x"], "x")
    with pytest.raises(SetupError, match="damaged"):
        conf.without_block(there.replace(conf.END, ""), "x", False)
    with pytest.raises(SetupError, match="damaged"):
        conf.with_block(there + there, ["#include x"], "x")


def test_the_first_section_of_a_name_counts() -> None:
    text = "[general]\nA = 1\nb => 2 ; c\n[x]\na = 3\n[general]\na = 4\n"
    assert conf.settings(text, "general") == {"a": "1", "b": "2"}


def test_includes() -> None:
    text = '#include "a/b.conf"\n#tryinclude <c.conf>\n #include d.conf ; x\n;#include e.conf\n'
    assert conf.includes(text) == {"a/b.conf", "c.conf", "d.conf"}


@pytest.mark.parametrize("text", ["[general]\n;--\n", ";--", "[a]\nx = 1 ;--\n"])
def test_nothing_goes_into_an_open_comment(text: str) -> None:
    with pytest.raises(SetupError, match="x: a block comment"):
        conf.with_block(text, ["#include y"], "x")
    with pytest.raises(SetupError, match="x: a block comment"):
        conf.with_settings(text, "general", WANTED, "x")


def test_no_comment_may_begin_where_the_block_would_go() -> None:
    with pytest.raises(SetupError, match=r"x: .*\[applicationmap\]"):
        conf.with_block("[applicationmap] ;--\n--;\n", ["#include y"], "x", "applicationmap")
