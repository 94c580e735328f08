"""Switching recording and profiles, CSV, and the history."""

from pathlib import Path

import pytest

from callrec_pbx.catalogue import migrate
from callrec_pbx.policy.acknowledgement import TEXT_SHA256, TEXT_VERSION, text
from tests.catalogue.cli import Commands, configured
from tests.cli.test_people_kinds import fails


@pytest.fixture
def callrec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "keyboard")
    url = f"sqlite:///{tmp_path}/catalogue.db"
    migrate.upgrade(url)
    return configured(tmp_path, url, tmp_path)


def recording(callrec: Commands, tenant: str = "default") -> str:
    return str(callrec("tenant", "show", tenant, "--json").json["tenant"]["recording"])


def test_recording_is_refused_until_the_text_is_acknowledged(callrec: Commands) -> None:
    fails(
        callrec("tenant", "recording", "on"),
        f"what recording asks of it (text version {TEXT_VERSION}) is not acknowledged; read and "
        "acknowledge it: callrec-pbx tenant acknowledge",
    )
    shown = callrec("tenant", "acknowledge")
    assert text("en") in shown.out
    assert f"text version {TEXT_VERSION}" in shown.out
    ran = callrec("tenant", "acknowledge", "--who", "Dr. Berg", "--text-version", TEXT_VERSION)
    assert ran.out == f"tenant default: Dr. Berg has acknowledged version {TEXT_VERSION}\n"
    ran = callrec("tenant", "recording", "on", "--comment", "go")
    assert ran.out == "tenant default: recording off_new -> on\nversion 2\n"
    assert recording(callrec) == "on"
    assert "Dr. Berg" in callrec("tenant", "acknowledge", "--show").out


def test_acknowledging_for_programs(callrec: Commands) -> None:
    arguments = ("--who", "Dr. Berg", "--text-version", TEXT_VERSION, "--json")
    made = callrec("tenant", "acknowledge", "default", *arguments).json
    assert (made["tenant"], made["who"], made["text_sha256"]) == (
        "default", "Dr. Berg", TEXT_SHA256,
    )  # fmt: skip
    shown = callrec("tenant", "acknowledge", "--json").json
    assert shown["acknowledgements"] == [made]
    assert (shown["text_version"], shown["text"]) == (TEXT_VERSION, text("en"))


def test_the_text_is_in_the_tenants_language(callrec: Commands) -> None:
    callrec("tenant", "set", "default", "--language", "de")
    assert text("de") != text("en")
    assert text("de") in callrec("tenant", "acknowledge").out
    assert text("en") in callrec("tenant", "acknowledge", "--language", "en").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--text-version", TEXT_VERSION), "--who: is missing; say who answers for it"),
        (("--text-version", "0", "--who", "B"), "'0' is not the current version; read that one"),
        (("acme", "--text-version", TEXT_VERSION, "--who", "B"), "tenant acme: is not there"),
        (("--text-version", TEXT_VERSION, "--who", "\x07"), "is too long or has control"),
    ],
)
def test_what_is_no_acknowledgement(
    callrec: Commands, arguments: tuple[str, ...], message: str
) -> None:
    fails(callrec("tenant", "acknowledge", *arguments), message)
    assert callrec("tenant", "acknowledge", "--json").json["acknowledgements"] == []


def test_off_for_new_calls_or_at_once(callrec: Commands) -> None:
    callrec("tenant", "acknowledge", "--who", "B", "--text-version", TEXT_VERSION)
    callrec("tenant", "recording", "on", "default")
    assert callrec("tenant", "recording", "off", "--json").json["version"] == 3
    assert recording(callrec) == "off_new"
    assert callrec("tenant", "recording", "off", "--now", "--author", "officer").status == 0
    assert recording(callrec) == "off_now"
    assert callrec("tenant", "recording", "off", "--now").out == "nothing to change\n"
    fails(callrec("tenant", "recording", "on", "--now"), "not recorded from its middle")
    fails(callrec("tenant", "recording", "on", "acme"), "tenant acme: is not there")
    history = callrec("people", "history", "--json").json["versions"]
    assert (history[0]["author"], history[0]["changes"]) == (
        "officer", ["tenant default: recording off_new -> off_now"],
    )  # fmt: skip


def test_switching_profiles(callrec: Commands) -> None:
    callrec("user", "add", "anna@example.com")
    callrec("profile", "add", "anna@example.com", "Lunch")
    assert callrec("profile", "log").out == "no switches\n"
    ran = callrec("profile", "switch", "Anna@example.com", "Lunch")
    assert ran.out == "Anna@example.com is in profile Lunch now\n"
    assert callrec("profile", "switch", "anna@example.com", "Lunch").out == "nothing to change\n"
    assert callrec("user", "show", "anna@example.com", "--json").json["user"]["profile"] == "Lunch"
    assert callrec("profile", "switch", "anna@example.com", "--none", "--json").json == {
        "switched": True
    }
    log = callrec("profile", "log", "--user", "ANNA@example.com", "--json").json["switches"]
    assert [(one["profile"], one["by"]) for one in log] == [
        ("", "cli:keyboard"), ("Lunch", "cli:keyboard"),
    ]  # fmt: skip
    assert "cli:keyboard" in callrec("profile", "log", "--limit", "1", "--tenant", "default").out
    fails(callrec("profile", "switch", "anna@example.com", "Dinner"), "Dinner: is not there")
    fails(callrec("profile", "switch", "x@x.se", "Lunch"), "user x@x.se: is not there")
    fails(callrec("profile", "switch", "anna@example.com"), "give the name of a profile, or --none")
    fails(callrec("profile", "log", "--limit", "0"), "0: give 1 to 10000")
    fails(callrec("profile", "remove", "anna@example.com", "Dinner"), "is not there")


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "users.csv"
    path.write_text("email;name;recording\nanna@example.com;Anna;yes\nbo@example.com;Bo;no\n")
    return path


def test_import_for_people(callrec: Commands, users: Path) -> None:
    ran = callrec("people", "import", str(users), "--kind", "user", "--dry-run")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "line 2: added user anna@example.com",
        "line 3: added user bo@example.com",
        "2 added, 0 changed, 0 unchanged, 0 wrong; dry run: nothing was changed",
    ]
    ran = callrec("people", "import", str(users), "--kind", "user", "--comment", "all")
    assert ran.out.splitlines()[-1] == "2 added, 0 changed, 0 unchanged, 0 wrong; version 2"
    users.write_text("email,name\nanna@example.com,Änn\nbo@example.com,Bo\n")
    ran = callrec("people", "import", str(users), "--kind", "user", "--update")
    assert ran.out.splitlines() == [
        "line 2: changed user anna@example.com: name Anna -> Änn",
        "line 3: unchanged user bo@example.com",
        "0 added, 1 changed, 1 unchanged, 0 wrong; version 3",
    ]
    ran = callrec("people", "import", str(users), "--kind", "user")
    assert ran.out.endswith("2 unchanged, 0 wrong; nothing to change\n")


def test_every_error_is_shown_and_nothing_is_changed(callrec: Commands, users: Path) -> None:
    with users.open("a") as file:
        file.write("x;\x1b[31m;maybe\nanna@example.com;;\n")
    ran = callrec("people", "import", str(users), "--kind", "user")
    assert ran.status == 2
    assert ran.err.splitlines() == [
        "line 4: error: recording 'maybe': is neither yes nor no; give yes or no",
        "line 4: error: email 'x': is not an e-mail address; give one such as anna@example.com",
        "line 4: error: name '\\x1b[31m': is too long or has control characters; use up to 200 "
        "printable characters in one line",
        "line 5: error user anna@example.com: is on line 2 already; keep one",
        "2 added, 0 changed, 0 unchanged, 2 wrong; nothing was changed",
    ]
    assert callrec("user", "list", "--json").json == {"users": []}
    report = callrec("people", "import", str(users), "--kind", "user", "--json")
    assert report.status == 2
    assert {key: value for key, value in report.json.items() if key != "lines"} == {
        "dry_run": False, "version": None, "added": 2, "changed": 0, "unchanged": 0, "error": 2,
    }  # fmt: skip
    assert report.json["lines"][2]["problems"][0] == {
        "column": "recording",
        "value": "'maybe'",
        "problem": "is neither yes nor no",
        "remedy": "give yes or no",
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe", "file, line 1: byte 0xff is not UTF-8; save the file as CSV UTF-8"),
        (b"mail\n", "column 'mail': is not known; use tenant, email"),
    ],
)
def test_what_is_no_such_file(callrec: Commands, users: Path, data: bytes, message: str) -> None:
    users.write_bytes(data)
    fails(callrec("people", "import", str(users), "--kind", "user"), message)


def test_no_file_and_no_kind(callrec: Commands, tmp_path: Path, users: Path) -> None:
    fails(callrec("people", "import", str(tmp_path / "no.csv"), "--kind", "user"), "not exist")
    fails(callrec("people", "import", str(users)), "--kind")
    fails(callrec("people", "import", str(users), "--kind", "tenant"), "'tenant' is not one of")


def test_export_gives_what_import_takes(callrec: Commands, users: Path, tmp_path: Path) -> None:
    callrec("people", "import", str(users), "--kind", "user")
    ran = callrec("people", "export", "--kind", "user")
    assert ran.out.splitlines() == [
        "tenant,email,name,language,country,department,site,recording,retention",
        "default,anna@example.com,Anna,,,,,yes,",
        "default,bo@example.com,Bo,,,,,no,",
    ]
    written = tmp_path / "out.csv"
    assert callrec("people", "export", "--kind", "user", "--output", str(written)).out == ""
    assert written.read_text() == ran.out
    ran = callrec("people", "import", str(written), "--kind", "user", "--update")
    assert ran.out.endswith("0 added, 0 changed, 2 unchanged, 0 wrong; nothing to change\n")
    fails(callrec("people", "export", "--kind", "user", "--tenant", "x"), "tenant x: is not there")


def test_history(callrec: Commands, users: Path) -> None:
    callrec("people", "import", str(users), "--kind", "user", "--comment", "from the old system")
    listed = callrec("people", "history")
    assert "from the old system" in listed.out
    assert "user anna@example.com added" in listed.out
    shown = callrec("people", "history", "--version", "2").out.splitlines()
    assert shown[1:] == [
        "from the old system",
        "user default/anna@example.com added",
        "user default/bo@example.com added",
    ]
    document = callrec("people", "history", "--version", "2", "--json").json
    assert (document["version"], document["author"]) == (2, "keyboard")
    assert document["changes"][1]["after"]["email"] == "bo@example.com"
    assert len(callrec("people", "history", "--limit", "1", "--json").json["versions"]) == 1
    fails(callrec("people", "history", "--version", "9"), "9 is no version of people and places")
    fails(callrec("people", "history", "--limit", "0"), "0: give 1 to 10000")


def test_a_long_history_is_cut(callrec: Commands, tmp_path: Path) -> None:
    lines = tmp_path / "lines.csv"
    lines.write_text("extension\n" + "".join(f"{number}\n" for number in range(300)))
    assert callrec("people", "import", str(lines), "--kind", "line").status == 0
    listed = callrec("people", "history").out
    assert "line 2 added" in listed
    assert "line 3 added" not in listed
    assert "--version 2 shows all" in listed
    assert len(callrec("people", "history", "--version", "2", "--json").json["changes"]) == 300
