"""`callrec-pbx policy`: versions, and what they differ in."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx.policy.document import EXAMPLE, parse
from tests.catalogue.cli import Commands, configured
from tests.policy.house import furnish

POLICY = """
excluded_numbers = ["+46 70-123 45 67"]
[[tenant]]
consent = "opt_out"
[[site]]
name = "Berlin"
consent = "opt_in"
[[holiday]]
date = 2026-12-24
name = "Christmas Eve"
[[rule]]
name = "board"
line = "302"
mode = "never"
[[rule]]
name = "rest"
mode = "always"
"""


@pytest.fixture
def callrec(tmp_path: Path, url: str) -> Commands:
    (tmp_path / "policy.toml").write_text(POLICY)
    return configured(tmp_path, url, tmp_path)


@pytest.fixture(autouse=True)
def _house(engine: Engine) -> None:
    furnish(engine)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def applied(callrec: Commands, file: Path, *options: str) -> int:
    ran = callrec("policy", "apply", str(file), "--author", "anna", "--json", *options)
    assert ran.status == 0, ran.err
    version = ran.json["version"]
    assert isinstance(version, int)
    return version


def test_apply_shows_what_it_changes(callrec: Commands, file: Path) -> None:
    ran = callrec("policy", "apply", str(file), "--dry-run")
    lines = [
        "+ tenant default: consent opt_out",
        "+ site Berlin: consent opt_in",
        "+ holiday 2026-12-24 Christmas Eve",
        "+ rule board: line 302, mode never",
        "+ rule rest: mode always",
        "+ 1 excluded number: +46 70-123 45 67",
    ]
    assert ran.out.splitlines() == [*lines, "dry run: nothing was changed"]
    assert callrec("policy", "show", "--json").json["policy"] == {}
    version = applied(callrec, file, "--comment", "the first")
    ran = callrec("policy", "apply", str(file))
    assert ran.out == f"nothing to change: version {version} says the same\n"
    (newest, *_) = callrec("policy", "history", "--json").json["versions"]
    assert newest["changes"] == lines
    assert (newest["author"], newest["comment"], newest["kind"], newest["version"]) == (
        "anna", "the first", "policy", version,
    )  # fmt: skip


def test_apply_for_programs(callrec: Commands, file: Path) -> None:
    dry = callrec("policy", "apply", str(file), "--dry-run", "--json").json
    done = callrec("policy", "apply", str(file), "--json").json
    assert (dry["dry_run"], dry["changed"], done["dry_run"], done["changed"]) == (
        True, False, False, True,
    )  # fmt: skip
    assert dry["changes"] == done["changes"]
    assert done["version"] == dry["version"] + 1
    assert done["changes"][0] == {
        "did": "added",
        "kind": "tenant",
        "name": "default",
        "fields": [{"field": "consent", "old": None, "new": "opt_out"}],
    }


def test_what_is_exported_can_be_applied(callrec: Commands, file: Path, tmp_path: Path) -> None:
    version = applied(callrec, file)
    out = tmp_path / "out.toml"
    assert callrec("policy", "export", "--output", str(out)).status == 0
    assert out.read_text() == callrec("policy", "export").out
    assert f"# version {version} of " in out.read_text()
    assert applied(callrec, out) == version
    assert callrec("policy", "export", "--version", "0").out.count("\n[") == 0
    assert callrec("policy", "export", "--output", str(tmp_path)).status == 2


def test_two_editors(callrec: Commands, file: Path) -> None:
    first = applied(callrec, file)
    file.write_text(POLICY.replace("always", "on_demand"))
    applied(callrec, file, "--expect-version", str(first))
    file.write_text(POLICY.replace("opt_out", "announce"))
    ran = callrec("policy", "apply", str(file), "--expect-version", str(first))
    assert ran.status == 2
    assert "anna has changed the policy since" in ran.err
    ran = callrec("policy", "apply", str(file), "--dry-run", "--expect-version", str(first))
    assert ran.status == 2


def test_a_first_policy_for_a_new_installation(callrec: Commands, file: Path) -> None:
    first = applied(callrec, file, "--if-none")
    file.write_text(POLICY.replace("always", "on_demand"))
    assert applied(callrec, file, "--if-none") == first
    ran = callrec("policy", "apply", str(file), "--if-none")
    assert ran.out.startswith(f"nothing to change: there is a policy, version {first} of ")
    assert applied(callrec, file) == first + 1


def test_history_diff_and_rollback(callrec: Commands, file: Path) -> None:
    first = applied(callrec, file, "--comment", "\x1b[31mred")
    file.write_text(POLICY.replace("opt_in", "none").replace('"+46 70-123 45 67"', ""))
    second = applied(callrec, file)
    difference = ["~ site Berlin: consent opt_in -> none", "- 1 excluded number: +46 70-123 45 67"]
    assert callrec("policy", "diff", str(first)).out.splitlines() == difference
    assert callrec("policy", "diff", str(first), str(second)).out.splitlines() == difference
    back = callrec("policy", "diff", str(second), str(first), "--json").json
    assert (back["from"], back["to"]) == (second, first)
    assert [change["kind"] for change in back["changes"]] == ["site", "excluded"]
    same = callrec("policy", "diff", str(second), str(second)).out
    assert same == f"versions {second} and {second} say the same\n"

    dry = callrec("policy", "rollback", str(first), "--dry-run")
    assert dry.out.splitlines()[-1] == "dry run: nothing was changed"
    done = callrec("policy", "rollback", str(first), "--author", "bertil", "--json").json
    assert done["version"] == second + 1
    export = callrec("policy", "export").out.split("\n\n", 1)[1]
    assert export == callrec("policy", "export", "--version", str(first)).out.split("\n\n", 1)[1]

    out = callrec("policy", "history").out
    assert "\x1b" not in out
    assert f"version {second + 1} of " in out
    assert f"by bertil (rollback, as in version {first})" in out
    assert "    ~ site Berlin: consent opt_in -> none\n" in out
    assert len(callrec("policy", "history", "--limit", "1", "--json").json["versions"]) == 1


def test_show(callrec: Commands, file: Path) -> None:
    assert "no rules: nothing is recorded" in callrec("policy", "show").out
    version = applied(callrec, file)
    text = flat(callrec("policy", "show").out)
    for part in (
        f"version {version}, last changed in version {version} of ",
        "1 board never line 302",
        "2 rest always every call",
        "site Berlin default consent opt_in",
        "holiday 2026-12-24 Christmas Eve",
        "1 excluded numbers",
    ):
        assert part in text
    shown = callrec("policy", "show", "--json").json
    assert shown["last_changed"]["author"] == "anna"
    assert shown["policy"]["rule"][0] == {"name": "board", "line": "302", "mode": "never"}
    assert "excluded" in callrec("policy", "show", "--version", "0").out


def test_excluded_numbers_one_by_one(callrec: Commands, file: Path, tmp_path: Path) -> None:
    exclude = ("policy", "exclude")
    assert callrec(*exclude, "list").out == "no excluded numbers\n"
    ran = callrec(*exclude, "add", "+46 70-123 45 67", "+4930*", "0046701234567")
    assert ran.out.splitlines()[0] == "+ 2 excluded numbers: +46 70-123 45 67, +4930*"
    assert callrec(*exclude, "list").out == "+46 70-123 45 67\n+4930*\n"
    assert callrec(*exclude, "list", "+46*", "--json").json == {
        "excluded_numbers": ["+46 70-123 45 67"],
        "readings": {"+46 70-123 45 67": ["+46701234567"]},
    }
    assert "nothing to change" in callrec(*exclude, "add", "+4930*").out
    assert "dry run" in callrec(*exclude, "remove", "+46701234567", "--dry-run").out
    assert callrec(*exclude, "remove", "+46701234567").out.startswith("- 1 excluded number: +46 70")
    ran = callrec(*exclude, "remove", "+4930*", "+461")
    assert ran.status == 2
    assert '"+461": is not there' in ran.err
    assert callrec(*exclude, "list").out == "+4930*\n"

    numbers = tmp_path / "numbers.txt"
    numbers.write_text("+47 1 # Ola\n+47 2\n")
    dry = callrec(*exclude, "import", str(numbers), "--dry-run", "--json").json
    assert dry["changes"] == [
        {"did": "added", "kind": "excluded", "count": 2, "first": ["+47 1", "+47 2"]}
    ]
    assert callrec(*exclude, "import", str(numbers)).status == 0
    assert callrec(*exclude, "list").out == "+47 1\n+47 2\n+4930*\n"
    numbers.write_text("+471\n")
    callrec(*exclude, "import", str(numbers), "--replace", "--comment", "from the list")
    assert callrec(*exclude, "list").out == "+47 1\n"
    numbers.write_text("+473\n[x]\n")
    ran = callrec(*exclude, "import", str(numbers))
    assert ran.status == 2
    assert "line 2" in ran.err
    assert callrec(*exclude, "list").out == "+47 1\n"


def test_init_writes_an_example_and_overwrites_nothing(callrec: Commands, tmp_path: Path) -> None:
    target = tmp_path / "new.toml"
    assert "policy apply" in callrec("policy", "init", str(target)).out
    assert target.read_text() == EXAMPLE.read_text()
    ran = callrec("policy", "init", str(target))
    assert ran.status == 2
    assert "is there already; name another file" in ran.err
    assert callrec("policy", "apply", str(target)).status == 0


def test_every_line_of_the_example_can_be_used() -> None:
    lines = []
    for line in EXAMPLE.read_text().splitlines():
        bare = line.strip().removeprefix("# ").removeprefix("# ").strip()
        code = bare.split("   #")[0].strip()
        if code.startswith(("[[", '"', "]")) or " = " in code:
            lines.append(code)
    text = parse("\n".join(lines), "example.toml")
    assert [rule.name for rule in text.rules] == ["board", "support in office hours", "on demand"]
    assert text.rules[1].when
    assert len(text.excluded_numbers) == 2
    assert [place.kind for place in text.places] == ["tenant", "site", "department"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        (b"\xff", "is not UTF-8; save it as UTF-8"),
        (b"rule = " + b"[" * 3000, "more than 20 deep; see that every ["),
        (
            b"holiday = " + b"1" * 5000,
            "holiday = 11111111111111111111...: is a number of 5000 digits",
        ),
        (b"[[rule]]\nname = 'a'\nmode = 'always'", "consent is missing from a rule that records"),
        (b"[[site]]\nname = 'Oslo'", "there is no such site; give one of Berlin, Stockholm"),
        (b"[[rule]]\nname='a'\nmode='never'\nlanguage='fi'", "no prompts in that language"),
        (b"[[tenant]]\nannouncement='acme'", "there is no prompt of that name; import acme"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    callrec: Commands, tmp_path: Path, text: bytes | None, message: str
) -> None:
    bad = tmp_path / "bad.toml"
    if text is not None:
        bad.write_bytes(text)
    before = callrec("policy", "history", "--json").json
    ran = callrec("policy", "apply", str(bad))
    assert ran.status == 2
    assert f"{bad}: " in ran.err
    assert message in ran.err
    assert callrec("policy", "history", "--json").json == before


def test_a_folder_is_no_file(callrec: Commands, tmp_path: Path) -> None:
    ran = callrec("policy", "apply", str(tmp_path))
    assert ran.status == 2
    assert "cannot be read: it is a directory; name a file in it" in ran.err


EMPTY = ["", "# nothing\n", "excluded_numbers = []\n[[tenant]]\n"]


@pytest.mark.parametrize("text", EMPTY)
@pytest.mark.parametrize("option", [[], ["--dry-run"]])
def test_an_empty_file_takes_nothing_away(
    callrec: Commands, file: Path, tmp_path: Path, text: str, option: list[str]
) -> None:
    version = applied(callrec, file)
    empty = tmp_path / "empty.toml"
    empty.write_text(text)
    ran = callrec("policy", "apply", str(empty), *option)
    assert ran.status == 2
    assert f"{empty}: has no rule, no setting and no excluded number" in ran.err
    assert "--empty" in ran.err
    assert callrec("policy", "history", "--json").json["versions"][0]["version"] == version
    ran = callrec("policy", "apply", str(empty), "--empty", *option)
    assert ran.status == 0
    assert "note: all 2 rules are taken away: nothing is recorded any more\n" in ran.out
    assert "note: 1 number is excluded no longer: calls with them are recorded" in ran.out
    done = callrec("policy", "show", "--json").json["policy"]
    assert ("rule" in done) is bool(option)


def test_who_is_excluded_no_longer_is_told(callrec: Commands, file: Path) -> None:
    applied(callrec, file)
    file.write_text(POLICY.replace("+46 70-123 45 67", "+46701234567"))
    assert "excluded no longer" not in callrec("policy", "apply", str(file), "--dry-run").out
    file.write_text(POLICY.replace('"+46 70-123 45 67"', ""))
    done = callrec("policy", "apply", str(file), "--json").json
    assert len(done["remarks"]) == 1
    assert done["remarks"][0].startswith("1 number is excluded no longer")


def test_rollback_excludes_who_is_excluded_now(callrec: Commands, file: Path) -> None:
    first = applied(callrec, file)
    exclude = ("policy", "exclude")
    callrec(*exclude, "add", "+471", "+472")
    callrec(*exclude, "remove", "+46701234567")
    file.write_text(POLICY.replace('"+46 70-123 45 67"', '"+471", "+472"'))
    second = applied(callrec, file)
    ran = callrec("policy", "rollback", str(first), "--dry-run")
    stay = f"note: 2 numbers that version {first} does not have stay excluded; --with-excluded"
    assert stay in ran.out
    ran = callrec("policy", "rollback", str(first))
    assert ran.status == 0
    assert stay in ran.out
    assert callrec(*exclude, "list").out == "+46 70-123 45 67\n+471\n+472\n"

    refused = callrec("policy", "rollback", str(first), "--expect-version", str(second))
    assert refused.status == 2
    assert "has changed the policy since" in refused.err
    newest = str(callrec("policy", "show", "--json").json["version"])
    ran = callrec(
        "policy", "rollback", str(first), "--with-excluded", "--expect-version", newest
    )  # fmt: skip
    assert "note: 2 numbers are excluded no longer: calls with them are recorded" in ran.out
    assert callrec(*exclude, "list").out == "+46 70-123 45 67\n"


def test_a_byte_order_mark_is_left_out(callrec: Commands, file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + POLICY.encode())
    assert callrec("policy", "apply", str(file)).status == 0
    numbers = tmp_path / "numbers.txt"
    numbers.write_bytes(b"\xef\xbb\xbf+471\n")
    assert callrec("policy", "exclude", "import", str(numbers)).status == 0
    assert "+471" in callrec("policy", "exclude", "list").out


def test_what_looks_odd_is_told_and_done(callrec: Commands, file: Path) -> None:
    file.write_text(POLICY.replace('line = "302"', 'queue = "suport"'))
    ran = callrec("policy", "apply", str(file))
    assert ran.status == 0
    assert "warning: " in ran.err
    assert 'rule 1 "board" queue = "suport": fits no queue that is known' in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "--version", "99"], "version 99: there is none"),
        (["rollback", "99"], "version 99: there is none"),
        (["diff", "99"], "version 99: there is none"),
        (["history", "--limit", "0"], "--limit: 0: give 1 to"),
        (["exclude", "add", "_0X."], "looks like a dialplan pattern"),
    ],
)
def test_bad_input_is_named(callrec: Commands, arguments: list[str], message: str) -> None:
    ran = callrec("policy", *arguments)
    assert ran.status == 2
    assert message in flat(ran.err)


def test_from_standard_input(callrec: Commands, file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "callrec_pbx.cli", "--config", str(callrec.config), "policy",
         "apply", "-"],
        input=POLICY, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert callrec("policy", "apply", str(file)).out.startswith("nothing to change")


def test_people_in_history_and_diff(callrec: Commands, file: Path) -> None:
    first = applied(callrec, file)
    users = file.with_name("lines.csv")
    users.write_text("extension\n" + "".join(f"70{number}\n" for number in range(7)))
    assert callrec("people", "import", str(users), "--kind", "line").status == 0
    assert callrec("site", "set", "Stockholm", "--country", "SE").status == 0
    last = first + 2
    history = callrec("policy", "history").out
    assert "(people)\n    site Stockholm: country empty -> SE\n" in history
    assert "    line 706 added\n" in history
    assert callrec("policy", "diff", str(last), str(first)).out.splitlines() == [
        f"versions {last} and {first} say the same, but people and places were changed:",
        *(f"people, version {first + 1}: line 70{number} added" for number in range(5)),
        f"    ... (callrec-pbx people history --version {first + 1} shows all)",
        f"people, version {last}: site Stockholm: country empty -> SE",
    ]
    document = callrec("policy", "diff", str(first), str(last), "--json").json
    assert document["changes"] == []
    assert [one["version"] for one in document["people"]] == [first + 1, last]
    assert len(document["people"][0]["changes"]) == 7


def test_a_new_name_in_the_policy(callrec: Commands, file: Path) -> None:
    first = applied(callrec, file)
    renamed = "site Berlin: name Berlin -> Bonn"
    of_policy = ["policy: - site Berlin", "policy: + site Bonn: consent opt_in"]
    done = callrec("site", "set", "Berlin", "--name", "Bonn")
    assert done.out.splitlines() == [renamed, *of_policy, f"version {first + 1}"]
    history = callrec("policy", "history", "--limit", "1").out.splitlines()
    assert history[0].endswith("(people_and_policy)")
    assert [line.strip() for line in history[1:]] == [renamed, *of_policy]
    assert callrec("policy", "diff", str(first)).out.splitlines() == [
        "- site Berlin",
        "+ site Bonn: consent opt_in",
        f"people, version {first + 1}: {renamed}",
    ]
    assert "Bonn" in callrec("people", "history", "--limit", "1").out
    shown = callrec("people", "history", "--version", str(first + 1)).out.splitlines()
    assert shown[-3:] == ["site default/Berlin: name Berlin -> Bonn", *of_policy]
    listed = callrec("people", "history", "--version", str(first + 1), "--json").json
    assert (listed["policy"], len(listed["changes"])) == (of_policy, 1)
    back = callrec("policy", "rollback", str(first))
    assert "nothing to change" in back.out

    refused = callrec("site", "remove", "Bonn", "--dry-run", "--cascade")
    assert "policy: - site Bonn" in refused.out
    refused = callrec("line", "remove", "302", "--cascade")
    assert refused.status == 2
    assert 'nothing else is in rule "board" (line)' in flat(refused.err)


def test_a_pattern_that_fits_no_longer_is_told(callrec: Commands, file: Path) -> None:
    file.write_text(POLICY.replace('line = "302"', 'site = "Berl*"'))
    applied(callrec, file)
    done = callrec("site", "set", "Berlin", "--name", "Bonn")
    assert 'warning: rule "board": site Berl* fits Berlin, and not Bonn' in done.err
    check = callrec("policy", "check")
    assert "site Berl*" in check.out
