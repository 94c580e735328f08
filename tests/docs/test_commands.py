"""The commands that the manual, the README files and setup tell people to type are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from callrec_pbx.cli import app
from callrec_pbx.cli.setup import NEXT
from tests.bed.asterisk import REPOSITORY
from tests.docs.test_links import pages

LINE = re.compile(r"^ {4,}callrec(?:-pbx)? +(\S.*)$", re.MULTILINE)
"""An indented line that is typed; `callrec` stands for the one in a container."""

REMARK = re.compile(r"(?: {2,}| #).*$")


def written() -> Iterator[tuple[str, str]]:
    """Every such line, with where it is."""
    for page in pages():
        for line in LINE.findall(page.read_text()):
            yield str(page.relative_to(REPOSITORY)), line
    for line in LINE.findall(NEXT):
        yield "setup", line


def wrong(line: str) -> str:
    """What is wrong with a command line; empty if nothing is."""
    command: Any = typer.main.get_command(app)
    for word in shlex.split(REMARK.sub("", line).rstrip("\\")):
        option = word.partition("=")[0]
        if option.startswith("--"):
            known = {name for one in command.params for name in one.opts + one.secondary_opts}
            if option not in known:
                return f"{command.name} has no {option}"
        elif hasattr(command, "list_commands"):
            found = command.get_command(None, word)
            if found is None:
                return f"there is no command {word}"
            command = found
    return "more is needed" if hasattr(command, "list_commands") else ""


def test_every_command_that_people_are_told_to_type_is_there() -> None:
    found = [(where, line, wrong(line)) for where, line in written()]
    assert len(found) > 50
    assert [one for one in found if one[2]] == []


@pytest.mark.parametrize("line", ["nonsense", "policy", "policy apply --nonsense x", "--help"])
def test_a_wrong_one_is_noticed(line: str) -> None:
    assert wrong(line)
