"""`callrec-pbx policy exclude`: a number in any spelling is one number."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.catalogue.cli import Commands, configured
from tests.policy.house import furnish

EXCLUDE = ("policy", "exclude")


@pytest.fixture
def callrec(tmp_path: Path, url: str, engine: Engine) -> Commands:
    """Commands of a house with a tenant in Sweden and a site in Germany."""
    furnish(engine)
    return configured(tmp_path, url, tmp_path)


def test_a_number_is_added_once_in_whatever_spelling(callrec: Commands) -> None:
    callrec(*EXCLUDE, "add", "+46 70-123 45 67", "+49 70-123 45 67")
    assert "nothing to change" in callrec(*EXCLUDE, "add", "0701234567", "0046701234567").out
    assert callrec(*EXCLUDE, "list").out == "+46 70-123 45 67\n+49 70-123 45 67\n"


def test_a_number_is_removed_in_all_its_spellings(callrec: Commands) -> None:
    callrec(*EXCLUDE, "add", "0701234567", "+473")
    callrec(*EXCLUDE, "add", "+46 70-123 45 68")
    assert callrec(*EXCLUDE, "remove", "+46701234567").status == 0
    assert callrec(*EXCLUDE, "remove", "070-123 45 68").status == 0
    assert callrec(*EXCLUDE, "list").out == "+473\n"


def test_the_list_says_as_what_a_number_is_read(callrec: Commands, tmp_path: Path) -> None:
    callrec(*EXCLUDE, "add", "070-123 45 67", "+47 3")
    read = ["+46701234567", "+49701234567"]
    listed = callrec(*EXCLUDE, "list")
    assert sorted(listed.out.splitlines()) == [
        "+47 3",
        f"070-123 45 67  # {', '.join(reversed(read))}",
    ]
    assert callrec(*EXCLUDE, "list", "+46*", "--json").json == {
        "excluded_numbers": ["070-123 45 67"],
        "readings": {"070-123 45 67": list(reversed(read))},
    }
    (tmp_path / "numbers.txt").write_text(listed.out)
    ran = callrec(*EXCLUDE, "import", str(tmp_path / "numbers.txt"), "--replace")
    assert "nothing to change" in ran.out


def test_a_replaced_list_keeps_what_it_has_in_another_spelling(
    callrec: Commands, tmp_path: Path
) -> None:
    callrec(*EXCLUDE, "add", "+46 70-123 45 67", "0701234568")
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("0701234567\n+46701234568\n")
    ran = callrec(*EXCLUDE, "import", str(numbers), "--replace")
    assert ran.status == 0
    # Of 0701234567 the German reading is new; of 0701234568 it is in the file no longer.
    assert set(callrec(*EXCLUDE, "list", "--json").json["excluded_numbers"]) == {
        "+46 70-123 45 67",
        "0701234567",
        "+46701234568",
    }
