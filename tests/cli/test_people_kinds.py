"""The groups tenant, site, department, user, profile, line, ddi and queue."""

from pathlib import Path

import pytest
from sqlalchemy import text

from callrec_pbx.catalogue import migrate
from tests.catalogue.cli import Commands, Ran, configured


@pytest.fixture
def callrec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv("LOGNAME", "keyboard")
    url = f"sqlite:///{tmp_path}/catalogue.db"
    migrate.upgrade(url)
    return configured(tmp_path, url, tmp_path)


@pytest.fixture
def house(callrec: Commands) -> None:
    for command in (
        "site add Berlin --country de --time-zone Europe/Berlin --holidays DE-BE",
        "department add Sales --site Berlin",
        "user add anna@example.com --name Anna --department Sales",
        "profile add anna@example.com Lunch --no-record-direct --code 1",
        "line add 201 --user anna@example.com --device mobile",
        "ddi add +49301000 --site Berlin --language de --label reception",
        "queue add sales --department Sales",
    ):
        ran = callrec(*command.split())
        assert (ran.status, ran.err) == (0, ""), command


def fails(ran: Ran, *texts: str) -> None:
    """It ended with status 2, printed nothing and said that."""
    said = " ".join(ran.err.replace("│", " ").split())
    assert (ran.status, ran.out) == (2, ""), ran
    assert [part for part in texts if part not in said] == [], said


GROUPS = [
    (
        "tenant",
        ["acme"],
        ["--user-switch", "--concurrent-limit", "4", "--time-zone", "Europe/Oslo"],
        {
            "name": "acme", "recording": "off_new", "user_switch": True, "concurrent_limit": 4,
            "language": "", "country": "", "time_zone": "Europe/Oslo", "holidays": "",
            "outside_prefix": "", "quota_gb": None, "on_quota": "warn",
        },
        ["--concurrent-limit", "", "--no-user-switch", "--quota-gb", "20", "--on-quota", "stop"],
        {"concurrent_limit": None, "user_switch": False, "quota_gb": 20, "on_quota": "stop"},
    ),
    (
        "site",
        ["Oslo"],
        ["--country", "no", "--outside-prefix", "0", "--language", "nb"],
        {
            "tenant": "default", "name": "Oslo", "language": "nb", "country": "NO",
            "time_zone": "", "holidays": "", "outside_prefix": "0",
        },
        ["--name", "Kristiania", "--holidays", "no", "--time-zone", "Europe/Oslo"],
        {"name": "Kristiania", "holidays": "NO", "time_zone": "Europe/Oslo"},
    ),
    (
        "department",
        ["Support"],
        ["--site", "Berlin"],
        {"tenant": "default", "name": "Support", "site": "Berlin"},
        ["--site", "", "--name", "Help"],
        {"site": "", "name": "Help"},
    ),
    (
        "user",
        ["Bo@Example.com"],
        ["--name", "Bo", "--department", "Sales", "--no-recording"],
        {
            "tenant": "default", "email": "bo@example.com", "name": "Bo", "language": "",
            "country": "", "department": "Sales", "site": "", "recording": False, "profile": "",
            "retention": "",
        },
        ["--recording", "--email", "bo@x.se", "--country", "se", "--site", "Berlin",
         "--retention", "90"],
        {"recording": True, "email": "bo@x.se", "country": "SE", "site": "Berlin",
         "retention": "90 days"},
    ),
    (
        "profile",
        ["anna@example.com", "Abroad"],
        ["--code", "2"],
        {
            "tenant": "default", "user": "anna@example.com", "name": "Abroad",
            "record_direct": True, "code": "2",
        },
        ["--no-record-direct", "--name", "Away", "--code", ""],
        {"record_direct": False, "name": "Away", "code": ""},
    ),
    (
        "line",
        ["202"],
        ["--endpoint", "202-*", "--user", "ANNA@example.com", "--device", "softphone"],
        {
            "tenant": "default", "extension": "202", "endpoint": "202-*",
            "user": "anna@example.com", "device": "softphone",
        },
        ["--user", "", "--device", "other", "--extension", "302"],
        {"user": "", "device": "other", "extension": "302"},
    ),
    (
        "ddi",
        ["+49302000"],
        ["--site", "Berlin", "--language", "de"],
        {
            "tenant": "default", "number": "+49302000", "site": "Berlin", "language": "de",
            "label": "",
        },
        ["--label", "hot line", "--number", "+49303000"],
        {"label": "hot line", "number": "+49303000"},
    ),
    (
        "queue",
        ["support"],
        ["--site", "Berlin", "--department", "Sales"],
        {
            "tenant": "default", "name": "support", "site": "Berlin", "department": "Sales",
            "language": "", "retention": "",
        },
        ["--department", "", "--language", "en", "--name", "help", "--retention", "3 months"],
        {"department": "", "language": "en", "name": "help", "retention": "3 months"},
    ),
]  # fmt: skip
PLURALS = {
    "tenant": "tenants", "site": "sites", "department": "departments", "user": "users",
    "profile": "profiles", "line": "lines", "ddi": "ddis", "queue": "queues",
}  # fmt: skip


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(("group", "key", "options", "kept", "more", "changed"), GROUPS)
def test_from_add_to_remove(
    *,
    callrec: Commands,
    group: str,
    key: list[str],
    options: list[str],
    kept: dict[str, object],
    more: list[str],
    changed: dict[str, object],
) -> None:
    added = callrec(group, "add", *key, *options, "--comment", "new here", "--json").json
    assert added["version"] == 9
    (change,) = added["changes"]
    assert (change["entity"], change["before"], change["after"]) == (group, None, kept)
    listed = callrec(group, "list", "--json").json[PLURALS[group]]
    assert kept in listed
    assert callrec(group, "show", *key, "--json").json == {group: kept, "referred_to_by": {}}
    again = callrec(group, "add", *key)
    assert again.status == 2
    assert "is there already" in again.err
    done = callrec(group, "set", *key, *more)
    assert (done.status, done.out.splitlines()[-1]) == (0, "version 10")
    renamed = [
        value for name, value in changed.items() if name in ("name", "email", "extension", "number")
    ]
    assert done.err == ""
    new_key = [*key[:-1], str(renamed[0])] if renamed else key
    now = callrec(group, "show", *new_key, "--json").json[group]
    assert now == kept | changed
    assert callrec(group, "set", *new_key, *more, "--json").json == {
        "dry_run": False, "version": None, "changes": [], "policy": [], "remarks": [],
    }  # fmt: skip
    dry = callrec(group, "remove", *new_key, "--dry-run")
    assert dry.out.splitlines()[-1] == "dry run: nothing was changed"
    gone = callrec(group, "remove", *new_key, "--json").json
    assert (gone["version"], gone["changes"][0]["before"], gone["changes"][0]["after"]) == (
        11, now, None,
    )  # fmt: skip
    fails(callrec(group, "show", *new_key), "is not there", f"callrec-pbx {group} list shows")
    fails(callrec(group, "remove", *new_key), "is not there")
    history = callrec("people", "history", "--json").json["versions"]
    assert [(one["author"], one["comment"]) for one in history[:3]] == [
        ("keyboard", ""), ("keyboard", ""), ("keyboard", "new here"),
    ]  # fmt: skip


@pytest.mark.usefixtures("house")
def test_for_people(callrec: Commands) -> None:
    assert callrec("site", "add", "Oslo").out == "site Oslo added\nversion 9\n"
    assert callrec("site", "set", "Oslo", "--country", "NO").out == (
        "site Oslo: country empty -> NO\nversion 10\n"
    )
    assert callrec("site", "set", "Oslo", "--country", "no").out == "nothing to change\n"
    listed = callrec("user", "list").out
    assert "anna@example.com" in listed
    assert "tenant" not in listed
    shown = callrec("department", "show", "Sales").out
    assert "1 user (anna@example.com)" in shown
    assert "1 queue (sales)" in shown
    assert callrec("user", "list", "--site", "Oslo").out == "no users\n"


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("user list --department Sales", ["anna@example.com"]),
        ("user list --department Nope", []),
        ("line list --user ANNA@example.com", ["anna@example.com"]),
        ("queue list --department Sales --tenant default", ["sales"]),
        ("ddi list --site Berlin", ["+49301000"]),
        ("profile list --user anna@example.com", ["anna@example.com"]),
    ],
)
def test_lists_of_those_that_belong_somewhere(
    callrec: Commands, command: str, names: list[str]
) -> None:
    (found,) = callrec(*command.split(), "--json").json.values()
    assert [
        one.get("email") or one.get("user") or one.get("number") or one.get("name") for one in found
    ] == names


@pytest.mark.usefixtures("house")
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("user add x", "user x: email 'x': is not an e-mail address; give one such as"),
        ("user add x@x.se --department Nope", "department 'Nope': there is no such department"),
        ("site set Berlin --time-zone CET+1", "time_zone 'CET+1': is not a time zone; give an"),
        ("tenant set default --concurrent-limit many", "'many' is not a whole number; give one"),
        ("tenant set default --concurrent-limit 0", "concurrent_limit '0': is not a limit"),
        ("line set 201 --device phone", "'phone' is not one of"),
        ("queue add a,b", "is not the name of a queue that the dialplan can offer"),
        ("user list --tenant acme", "tenant acme: is not there; give one of: default"),
        ("line list --user x", "'x' is not an e-mail address"),
        ("department remove Sales", "is referred to by 1 user (anna@example.com) and 1 queue"),
        ("tenant remove default", "is the only tenant; rename it"),
        ("site add Oslo --author=", "author '': is empty; say who makes the change"),
    ],
)
def test_what_is_wrong_changes_nothing(callrec: Commands, command: str, message: str) -> None:
    fails(callrec(*command.split()), message)
    assert callrec("people", "history", "--json").json["versions"][0]["version"] == 8


@pytest.mark.usefixtures("house")
def test_a_tenant_has_to_be_named_where_there_are_several(callrec: Commands) -> None:
    assert callrec("tenant", "add", "acme").status == 0
    fails(
        callrec("site", "add", "Oslo"),
        "tenant: is not named, and there is more than one; give --tenant: default, acme",
    )
    assert callrec("site", "add", "Berlin", "--tenant", "acme").status == 0
    fails(callrec("site", "show", "Berlin"), "give --tenant")
    assert callrec("site", "show", "Berlin", "--tenant", "acme", "--json").json["site"][
        "country"
    ] == ""  # fmt: skip
    assert callrec("queue", "show", "sales").status == 0
    assert len(callrec("site", "list", "--json").json["sites"]) == 2
    assert len(callrec("site", "list", "--tenant", "acme", "--json").json["sites"]) == 1
    assert "acme" in callrec("site", "list").out


@pytest.mark.usefixtures("house")
def test_cascade(callrec: Commands) -> None:
    ran = callrec("user", "remove", "anna@example.com", "--cascade")
    assert ran.out.splitlines() == [
        "line 201: user anna@example.com -> empty",
        "profile anna@example.com/Lunch removed",
        "user anna@example.com removed",
        "version 9",
    ]


def test_the_author_is_who_called_sudo(callrec: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    callrec("site", "add", "Oslo")
    callrec("site", "add", "Bergen", "--author", "the console")
    authors = [one["author"] for one in callrec("people", "history", "--json").json["versions"]]
    assert authors == ["the console", "ann", "callrec-pbx migrate"]


def test_what_is_in_the_database_cannot_steer_the_terminal(
    callrec: Commands, tmp_path: Path
) -> None:
    engine = migrate.open_current(f"sqlite:///{tmp_path}/catalogue.db")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO site (tenant_id, name, language, country, time_zone, holidays, "
                "outside_prefix) VALUES (1, :name, '', '', '', '', '')"
            ),
            {"name": "\x1b[31m[bold]x"},
        )
    engine.dispose()
    out = callrec("site", "list").out
    assert "\x1b" not in out
    assert "[31m[bold]x" in out


def test_as_a_process_of_its_own(callrec: Commands) -> None:
    ran = callrec.process("site", "add", "Oslo", "--json")
    assert (ran.status, ran.err, ran.json["version"]) == (0, "", 2)
    ran = callrec.process("site", "add", "Oslo")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "callrec-pbx: site Oslo: name 'Oslo': is there already; choose another, or change that "
        "one: callrec-pbx site set\n"
    )


def test_every_group_says_what_it_is_and_what_each_option_does(callrec: Commands) -> None:
    for group, *_ in GROUPS:
        for command in ("add", "list", "show", "set", "remove"):
            ran = callrec(str(group), command, "--help")
            assert ran.status == 0
            assert "--json" in ran.out
    assert "Time zone, such as Europe/Stockholm." in callrec("site", "add", "--help").out
