"""Reading FreeSWITCH's configuration by its preprocessor's and its parser's own rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from callrec_pbx.setup import fsxml
from callrec_pbx.setup.errors import SetupError


def whole(folder: Path, text: str, **others: str) -> fsxml.Whole:
    (folder / "freeswitch.xml").write_bytes(text.encode())
    for name, other in others.items():
        (folder / f"{name}.xml").write_bytes(other.encode())
    return fsxml.whole(folder, {"sounds_dir": "/sounds"})


def test_includes_and_variables(tmp_path: Path) -> None:
    found = whole(
        tmp_path,
        '<d>\n<X-PRE-PROCESS cmd="include" data="one.xml"/>\n'
        '<!--#include "$${conf_dir}/two.xml"-->\n<p a="$${x}" b="$${nobody}"/>\n</d>\n',
        one='<include>\n<x-pre-process data="x=" cmd="set" data="x = 5 "/>\n<one/>\n</include>\n',
        two='<?xml version="1.0"?>\n<two dir="$${sounds_dir}"/>\n',
    )
    assert found.text == '<d>\n<one/>\n\n<two dir="/sounds"/>\n<p a="5 " b="$${nobody}"/>\n</d>\n'
    two = found.text.index("<two")
    assert found.file_at(two) == tmp_path / "two.xml"
    assert found.file_at(0) == tmp_path / "freeswitch.xml"
    assert found.file_at(len(found.text) - 2) == tmp_path / "freeswitch.xml"


def test_nothing_is_executed_and_what_that_would_give_is_not_known(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    found = whole(
        tmp_path,
        f'<X-PRE-PROCESS cmd="exec" data="touch {mark}"/>\n'
        '<X-PRE-PROCESS cmd="set" data="x=1"/>\n'
        f'<X-PRE-PROCESS cmd="exec-set" data="x=touch {mark}"/>\n<p a="$${{x}}"/>\n',
    )
    assert not mark.exists()
    assert found.text == '<p a="$${x}"/>\n'


def test_comments_of_the_preprocessor_are_gone_and_others_stay(tmp_path: Path) -> None:
    found = whole(
        tmp_path,
        '<a/>\n<!--#comment\n<X-PRE-PROCESS cmd="include" data="one.xml"/>\n--><b/>\n'
        '<!--\n<X-PRE-PROCESS cmd="include" data="one.xml"/>\n-->\n',
        one="<one/>\n",
    )
    assert [element.tag for element in fsxml.elements(found.text)] == ["a", "b"]
    assert "<!--\n<one/>\n-->" in found.text


@pytest.mark.parametrize("name", ["freeswitch.xml", "*.xml"])
def test_a_circle_of_includes_ends(tmp_path: Path, name: str) -> None:
    line = f'<X-PRE-PROCESS cmd="include" data="{name}"/>\n'
    with pytest.raises(SetupError, match="included again and again"):
        whole(tmp_path, line * 2, other=line)


def test_what_grows_with_each_level_ends(tmp_path: Path) -> None:
    line = '<X-PRE-PROCESS cmd="include" data="level{}.xml"/>\n'
    levels = {f"level{n}": line.format(n + 1) * 2 for n in range(20)}
    with pytest.raises(SetupError, match="included again and again"):
        whole(tmp_path, line.format(0), **levels)


def test_a_folder_of_that_name_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "folder.xml").mkdir()
    found = whole(tmp_path, '<X-PRE-PROCESS cmd="include" data="fold*.xml"/>\n<a/>\n')
    assert found.text == "<a/>\n"


def test_bytes_that_are_no_text_stay(tmp_path: Path) -> None:
    (tmp_path / "freeswitch.xml").write_bytes(b'<a b="\xff\xe4"/>\n')
    assert fsxml.whole(tmp_path, {}).text.encode("latin-1") == b'<a b="\xff\xe4"/>\n'


def test_the_parser_is_as_lenient_as_freeswitchs() -> None:
    text = (
        "<!DOCTYPE x SYSTEM 'file:///etc/passwd'>\n<!-- <no/> -- -->\n<![CDATA[<no/>]]>\n"
        "<a one = '1' two=\"a > b &lt;&#65;&#x42;&unknown;\" >\n<b/><c></c>\n</wrong></a><d/>"
    )
    found = list(fsxml.elements(text))
    assert [[tag for tag, _ in element.around] for element in found] == [
        ["a"],
        ["a", "b"],
        ["a", "c"],
        ["d"],
    ]
    assert found[0].attributes == {"one": "1", "two": "a > b <AB&unknown;"}


def test_entities_are_not_expanded() -> None:
    """Neither those of a document type, from a file or from each other, nor beyond Unicode."""
    text = (
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd"><!ENTITY y "&x;&x;">]>\n'
        '<param name="password" value="&x;&y;&#1114112;"/>'
    )
    values = [e.attributes["value"] for e in fsxml.elements(text) if e.tag == "param"]
    assert values == ["&x;&y;&#1114112;"]


def test_a_configuration_is_the_first_of_its_name() -> None:
    text = (
        '<configuration name="e.conf"><settings><param name="a" value="1"/></settings>'
        '</configuration><configuration name="e.conf"><param name="a" value="2"/></configuration>'
        '<configuration name="f.conf"><param name="a" value="3"/></configuration>'
    )
    assert fsxml.settings(text, "e.conf") == [("a", "1")]
    assert fsxml.settings(text, "g.conf") is None
    assert fsxml.place_of(text, "f.conf") == text.rindex("<configuration")


def test_secrets_are_found_as_they_are_written() -> None:
    text = (
        b"<param name='password' value='a&amp;b'/><param value=\"xyz\" name=\"esl-Password\"/>"
        b'<!-- <param name="password" value="old"/> --><param name="port" value="1"/>'
        b'<param name="password" value=""/>'
    )
    assert fsxml.secrets_of(text, b"\xff") == ("a&amp;b", "xyz", "old")


def test_much_of_nothing_takes_no_time() -> None:
    """Text that a regular expression could go back and forth in."""
    for text in (
        "<a " * 20_000,
        "<a b='" * 20_000,
        "<!--" * 20_000,
        "<!x" * 20_000,
        '<a b="x" ' * 20_000,
    ):
        assert isinstance(list(fsxml.elements(text)), list)
