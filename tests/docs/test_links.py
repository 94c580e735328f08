"""Relative links in the Markdown files lead to something that is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.bed.asterisk import REPOSITORY

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def pages() -> list[Path]:
    """All Markdown files of the repository, as git knows them, also those not added yet."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    found = {REPOSITORY / name for name in listed} or {
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("[a-z]*/**/*.md"),
    }
    return sorted(path for path in found if path.exists())


def anchors(page: Path) -> set[str]:
    """The headings as they can be linked to."""
    headings = HEADING.findall(page.read_text())
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: there is no {target}"
        assert target.is_relative_to(REPOSITORY), f"{link}: leads out of the repository"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_of_the_manual_is_in_its_index() -> None:
    for index in (
        REPOSITORY / "docs" / "README.md",
        REPOSITORY / "docs" / "decisions" / "README.md",
    ):
        linked = {link.partition("#")[0] for link in LINK.findall(index.read_text())}
        missing = {page.name for page in index.parent.glob("*.md")} - linked - {"README.md"}
        assert not missing, f"{index} does not mention {missing}"


def test_every_top_folder_says_what_it_is() -> None:
    folders = {page.relative_to(REPOSITORY).parts[0] for page in pages()} | {"tests", "docs"}
    for folder in folders:
        if (REPOSITORY / folder).is_dir():
            assert (REPOSITORY / folder / "README.md").exists(), folder
