"""CSV tables: what comes of each line, and nothing at all when one is wrong."""

import csv

import pytest
from sqlalchemy import Engine, event

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.people import Ddi, Department, Line, Profile, Site, Tenant, User
from callrec_pbx.domain.words import Device
from callrec_pbx.people import importing
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.importing import Report, Status
from callrec_pbx.people.kinds import KINDS
from callrec_pbx.people.profiles import switch_profile
from callrec_pbx.people.table import columns, write_table
from callrec_pbx.people.versions import current_version, versions
from callrec_pbx.policy.people import changing, import_table
from tests.databases import only_sqlite
from tests.people.house import ANNA, D, build, everything, raw

pytestmark = only_sqlite  # the SQL is that of tests that run in both


USERS = """\
email,name,department,recording
anna@example.com,Anna,Sales,yes
cleo@example.com,"Cleo, PhD",Support,no
dan@example.com,,,
"""


@pytest.fixture(autouse=True)
def house(engine: Engine) -> None:
    build(engine)


@pytest.fixture(params=["row by row", "read at once"])
def portion(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a file is taken, by its length."""
    if request.param == "read at once":
        monkeypatch.setattr(importing, "MANY", 1)


def take(
    engine: Engine, entity: Entity, text: str | bytes, *, update: bool = False, **more: object
) -> Report:
    data = text.encode() if isinstance(text, str) else text
    return import_table(engine, entity, data, author="ann", update=update, **more)  # type: ignore[arg-type]


def told(report: Report) -> list[str]:
    """A text for each line: status, what, and the differences or problems."""
    return [
        " ".join(
            filter(
                None,
                [str(one.line), one.status, one.what, *map(str, one.differences or one.problems)],
            )
        )
        for one in report.lines
    ]


def refused(engine: Engine, entity: Entity, text: str | bytes) -> str:
    before = raw(engine)
    with pytest.raises(PeopleError) as raised:
        take(engine, entity, text)
    assert raw(engine) == before
    return str(raised.value)


@pytest.mark.usefixtures("portion")
@pytest.mark.parametrize(
    "data",
    [
        USERS.encode(),
        b"\xef\xbb\xbf" + USERS.encode(),
        USERS.replace("\n", "\r\n").encode(),
        ("\n" + USERS.replace("dan@", "\n,,,\n  \ndan@")).encode()[1:],
        USERS.replace(",", ";").replace("Cleo;", "Cleo,").encode(),
        USERS.replace("email,name", " Email , NAME ").encode(),
    ],
)
def test_added_and_unchanged(engine: Engine, data: bytes) -> None:
    report = take(engine, Entity.USER, data)
    assert [one.status for one in report.lines] == [Status.UNCHANGED, Status.ADDED, Status.ADDED]
    assert report.version == 3
    users = everything(engine)[Entity.USER]
    assert User(D, "cleo@example.com", "Cleo, PhD", department="Support", recording=False) in users
    assert User(D, "dan@example.com") in users


def test_one_import_is_one_version(engine: Engine) -> None:
    take(engine, Entity.USER, USERS, comment="from the old system")
    with engine.begin() as connection:
        newest = versions(connection)[0]
        assert (newest.version, newest.author, newest.comment) == (3, "ann", "from the old system")
        assert newest.changes == ("user cleo@example.com added", "user dan@example.com added")


@pytest.mark.usefixtures("portion")
def test_update_says_what_was_and_leaves_columns_that_are_not_there(engine: Engine) -> None:
    switch_profile(engine, D, ANNA, "Lunch", "cli:ann")
    text = "email,department,recording\nAnna@example.com,Support,no\nbo@example.com,Support,no\n"
    report = take(engine, Entity.USER, text, update=True)
    assert told(report) == [
        f"2 changed user {ANNA} department Sales -> Support recording yes -> no",
        "3 changed user bo@example.com department Sales -> Support",
    ]
    users = everything(engine)[Entity.USER]
    anna = User(D, ANNA, "Anna", "", "", "Support", "Berlin", recording=False, profile="Lunch")
    assert users[0] == anna
    assert isinstance(users[1], User)
    assert users[1].name == "Bo"
    assert take(engine, Entity.USER, text, update=True).version is None


@pytest.mark.usefixtures("portion")
@pytest.mark.parametrize("update", [False, True])
def test_an_empty_cell_leaves_what_is_there(engine: Engine, update: bool) -> None:
    """A user whose recording is off is not switched on by a cell that nobody filled in."""
    take(engine, Entity.USER, f"email,recording\n{ANNA},no\n", update=True)
    before = raw(engine)
    names = [field.name for field in columns(KINDS[Entity.USER])]
    cells = [ANNA if name == "email" else "" for name in names]
    for text in (f"{','.join(names)}\n{','.join(cells)}\n", f"email,recording,name\n{ANNA},  ,\n"):
        report = take(engine, Entity.USER, text, update=update)
        assert told(report) == [f"2 unchanged user {ANNA}"]
    assert raw(engine) == before


@pytest.mark.usefixtures("portion")
@pytest.mark.parametrize("entity", [one for one in Entity if one is not Entity.TENANT])
def test_rows_of_nothing_but_what_names_them_change_nothing(engine: Engine, entity: Entity) -> None:
    switch_profile(engine, D, ANNA, "Lunch", "cli:ann")
    before = raw(engine)
    kind = KINDS[entity]
    things = list(csv.DictReader(write_table(everything(engine)[entity], kind)))
    lines = [[row[name] if name in kind.key else "" for name in row] for row in things]
    text = "\n".join(map(",".join, [list(things[0]), *lines])) + "\n"
    report = take(engine, entity, text, update=True)
    assert {one.status for one in report.lines} == {Status.UNCHANGED}, told(report)
    assert raw(engine) == before


@pytest.mark.usefixtures("portion")
def test_without_update_a_difference_is_an_error(engine: Engine) -> None:
    before = raw(engine)
    report = take(engine, Entity.USER, "email,name,department\nanna@example.com,Ann,Support\n")
    assert told(report) == [
        f"2 error user {ANNA} "
        "name 'Ann': is Anna where it is there already; give --update to change it "
        "department 'Support': is Sales where it is there already; give --update to change it"
    ]
    assert raw(engine) == before


@pytest.mark.usefixtures("portion")
def test_all_errors_are_told_and_nothing_is_changed(engine: Engine) -> None:
    before = raw(engine)
    text = """\
email,name,department,site,recording
good@example.com,Good,Sales,,
nobody,X,Nope,,perhaps
good@example.com,Again,,,
wide@example.com,,,,,
x@example.com,,Sales,Nowhere,yes
multi@example.com,"two
lines",,,
last@example.com,,,Atlantis,
"""
    report = take(engine, Entity.USER, text)
    assert told(report) == [
        "2 added user good@example.com",
        "3 error recording 'perhaps': is neither yes nor no; give yes or no "
        "email 'nobody': is not an e-mail address; give one such as anna@example.com "
        "department 'Nope': there is no such department; add it first: callrec-pbx department add "
        "Nope",
        "4 error user good@example.com is on line 2 already; keep one",
        "5 error has more or fewer cells than the header; give as many; a cell with a separator in "
        "it stands in quotation marks",
        "6 error user x@example.com site 'Nowhere': there is no such site; add it first: "
        "callrec-pbx site add Nowhere",
        "7 error user multi@example.com name 'two\\nlines': is too long or has control characters; "
        "use up to 200 printable characters in one line",
        "9 error user last@example.com site 'Atlantis': there is no such site; add it first: "
        "callrec-pbx site add Atlantis",
    ]
    assert report.failed
    assert report.version is None
    assert raw(engine) == before


def test_a_dry_run_reports_the_same_and_writes_nothing(engine: Engine) -> None:
    before = raw(engine)
    dry = take(engine, Entity.USER, USERS, dry_run=True)
    assert raw(engine) == before
    assert dry.version is None
    assert told(dry) == told(take(engine, Entity.USER, USERS))


@pytest.mark.usefixtures("portion")
def test_each_kind(engine: Engine) -> None:
    files = {
        Entity.SITE: "name,country,time_zone,holidays\nMünchen,de,Europe/Berlin,de-by\n",
        Entity.DEPARTMENT: "name,site\nLager,München\n",
        Entity.LINE: "extension,endpoint,user,device\n301,301-*,ANNA@example.com,Mobile\n302,,,\n",
        Entity.DDI: "number,site,language,label\n+49891,München,DE,\n",
        Entity.QUEUE: "name,department\nlager,Lager\n",
        Entity.PROFILE: f"user,name,record_direct,code\n{ANNA},Abroad,no,3\n",
    }
    for entity, text in files.items():
        report = take(engine, entity, text)
        assert {one.status for one in report.lines} == {Status.ADDED}, told(report)
    found = everything(engine)
    assert Site(D, "München", "", "DE", "Europe/Berlin", "DE-BY") in found[Entity.SITE]
    assert Department(D, "Lager", "München") in found[Entity.DEPARTMENT]
    assert Line(D, "301", "301-*", ANNA, Device.MOBILE) in found[Entity.LINE]
    assert Line(D, "302") in found[Entity.LINE]
    assert Ddi(D, "+49891", "München", "de") in found[Entity.DDI]
    assert Profile(D, ANNA, "Abroad", record_direct=False, code="3") in found[Entity.PROFILE]


@pytest.mark.usefixtures("portion")
def test_endpoints_are_unique_within_the_file_too(engine: Engine) -> None:
    text = "extension,endpoint\n401,\n402,401\n403,202-*\n"
    assert told(take(engine, Entity.LINE, text)) == [
        "2 added line 401",
        "3 error line 402 endpoint '401': is that of line 401 already; give the endpoint by which "
        "the PBX tells them apart",
        "4 error line 403 endpoint '202-*': is that of line 202 already; give the endpoint by "
        "which the PBX tells them apart",
    ]


@pytest.mark.usefixtures("portion")
def test_an_endpoint_that_one_line_gives_up_can_be_taken_below(engine: Engine) -> None:
    text = "extension,endpoint\n202,202\n300,202-*\n203,999\n301,203\n"
    report = take(engine, Entity.LINE, text, update=True)
    assert not report.failed, told(report)
    lines = [one for one in everything(engine)[Entity.LINE] if isinstance(one, Line)]
    assert [(line.extension, line.endpoint) for line in lines] == [
        ("201", ""), ("202", ""), ("203", "999"), ("300", "202-*"), ("301", "203"),
    ]  # fmt: skip


@pytest.mark.usefixtures("portion")
def test_the_tenant_is_named_where_there_are_several(engine: Engine) -> None:
    with changing(engine, author="ann") as changes:
        changes.add(Tenant("acme"))
    text = "tenant,email\nacme,anna@example.com\n,bo@example.com\nother,x@example.com\n"
    assert told(take(engine, Entity.USER, text)) == [
        f"2 added user acme/{ANNA}",
        "3 error tenant: is not named, and there is more than one; give --tenant: default, acme",
        "4 error user other/x@example.com tenant 'other': there is no such tenant; add it first: "
        "callrec-pbx tenant add other",
    ]
    assert told(take(engine, Entity.USER, text.replace("other", D), tenant=D)) == [
        f"2 added user acme/{ANNA}",
        "3 unchanged user bo@example.com",
        "4 added user x@example.com",
    ]
    report = take(engine, Entity.DDI, "tenant,number\nacme,+468100\n", update=True)
    assert told(report) == [
        "2 error DDI +468100 tenant 'acme': cannot be set here; remove it, and add it to the other "
        "tenant"
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "file, line 1: email is missing; the first line names the columns"),
        ("name\nX\n", "file, line 1: email is missing"),
        (
            "email,size\n",
            "file, line 1: column 'size': is not known; use tenant, email, name, lang",
        ),
        ("email,profile\n", "column 'profile': is not known; use callrec-pbx profile switch"),
        ("email,name,email\n", "column 'email': is there twice; keep one"),
        ("email,,\n", "column '': is not known"),
        (
            'email,name\na@x.se,"open\n',
            "file, line 2: cannot be read (unexpected end of data); see",
        ),
        ('email,name\na@x.se,"a"b"\n', "file, line 2: cannot be read ("),
        (b"email,name\na@x.se,\xc5sa\nb@x.se,\xe5\n", "file, line 2: byte 0xc5 is not UTF-8; save"),
        ("email\n".encode("utf-16"), "file, line 1: byte 0xff is not UTF-8; save the file as CSV"),
        ("email,name\na@x.se," + "x" * 200_000, "file, line 2: cannot be read (field larger"),
    ],
)
def test_what_is_no_such_file_is_said_so(engine: Engine, data: str | bytes, message: str) -> None:
    assert message in refused(engine, Entity.USER, data)


@pytest.mark.parametrize("entity", [one for one in Entity if one is not Entity.TENANT])
def test_what_is_exported_is_unchanged_when_imported(engine: Engine, entity: Entity) -> None:
    switch_profile(engine, D, ANNA, "Lunch", "cli:ann")
    before = raw(engine)
    things = everything(engine)[entity]
    assert things
    report = take(engine, entity, "".join(write_table(things, KINDS[entity])), update=True)
    assert {one.status for one in report.lines} == {Status.UNCHANGED}, told(report)
    assert raw(engine) == before


def test_thousands_of_rows_are_few_statements(engine: Engine) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    rows = "".join(f"u{number}@example.com,Sales\n" for number in range(3000))
    told_rows: list[int] = []
    done: list[None] = []
    report = take(
        engine,
        Entity.USER,
        "email,department\n" + rows,
        planned=told_rows.append,
        progress=lambda: done.append(None),
    )
    assert (report.count(Status.ADDED), told_rows, len(done)) == (3000, [3000], 3000)
    assert len(statements) < 60
    with engine.begin() as connection:
        assert current_version(connection) == 3


def test_an_import_that_fails_halfway_leaves_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = raw(engine)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(engine, Entity.USER, USERS, progress=stop)
    assert raw(engine) == before
