"""`recordings list` with its criteria, `tag` and `flag`."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.words import Consent, Direction
from callrec_pbx.storage.serial import CallSidecar
from callrec_pbx.storage.store import RecordingStore
from tests.catalogue.cli import Commands, configured
from tests.catalogue.searching import a_consent
from tests.storage.samples import START, a_call, a_recording, an_id


@pytest.fixture
def store(tmp_path: Path) -> RecordingStore:
    (tmp_path / "recordings").mkdir()
    return RecordingStore(tmp_path / "recordings")


@pytest.fixture
def callrec(tmp_path: Path, sqlite_url: str, store: RecordingStore) -> Commands:
    return configured(tmp_path, sqlite_url, store.directory)


@pytest.fixture(autouse=True)
def two(callrec: Commands, sqlite_url: str, store: RecordingStore) -> None:
    """An inbound call on a Sunday at ten, and an outbound one on the Monday at eight, in UTC."""
    first = a_call(1, START)
    second = a_call(
        2,
        START + timedelta(hours=23),
        direction=Direction.OUTBOUND,
        a_number="201",
        b_number="+46701234567",
        ddi="",
        queue="support",
        consents=(a_consent(Consent.DECLINED),),
    )
    one = a_recording(1, first, START, flagged=True, tags=("vip",))
    other = a_recording(
        2, second, second.started_at, owner="anna@example.com", line="202", site="Lund",
        department="Help", evaluated=True, audio_ms=600_000, tenant="other",
    )  # fmt: skip
    for recording, call in ((one, first), (other, second)):
        store.write_sidecar(recording, call)
    engine = open_current(sqlite_url)
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(first), CallSidecar(second)])
        rows.write(connection, [RecordingRow(one), RecordingRow(other)])
    engine.dispose()


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ([], [2, 1]),
        (["--oldest-first"], [1, 2]),
        (["--tenant", "other"], [2]),
        (["--owner", "201", "--owner", "anna@example.com"], [2, 1]),
        (["--line", "202"], [2]),
        (["--number", "070-123 45"], [2]),
        (["--number", "+46 70"], [2]),
        (["--ddi", "+49301000"], [1]),
        (["--queue", "support"], [2]),
        (["--department", "Help", "--site", "Lund"], [2]),
        (["--direction", "outbound"], [2]),
        (["--longer-than", "10m"], [2]),
        (["--shorter-than", "600"], [1]),
        (["--longer-than", "1h"], []),
        (["--tag", "vip"], [1]),
        (["--flagged"], [1]),
        (["--not-flagged"], [2]),
        (["--evaluated"], [2]),
        (["--not-evaluated"], [1]),
        (["--consent", "declined"], [2]),
        (["--weekday", "sun"], [1]),
        (["--weekday", "mon-fri"], [2]),
        (["--weekday", "fri-mon"], [2, 1]),
        (["--time-of-day", "08:30-17:00"], [1]),
        (["--time-of-day", "22:00-08:01"], [2]),
        (["--time-of-day", "08:30-10:00", "--time-zone", "Europe/Stockholm"], [2]),
        (["--time-of-day", "08:30-10:00", "--weekday", "sun", "--time-zone", "Asia/Kolkata"], []),
    ],
)
def test_criteria(callrec: Commands, options: list[str], numbers: list[int]) -> None:
    ran = callrec("recordings", "list", "--json", *options)
    found = [one["recording"]["recording_id"] for one in ran.json["recordings"]]
    assert found == [an_id(number) for number in numbers]
    assert ran.json["next_cursor"] is None


def test_the_tenants_clocks_count(callrec: Commands) -> None:
    callrec("tenant", "set", "default", "--time-zone", "Asia/Kolkata")
    options = ("recordings", "list", "--json", "--time-of-day", "14:00-15:00")
    assert len(callrec(*options).json["recordings"]) == 1
    assert len(callrec(*options, "--time-zone", "UTC").json["recordings"]) == 0


def test_a_list_goes_on_where_another_ended(callrec: Commands) -> None:
    first = callrec("recordings", "list", "--limit", "1")
    assert an_id(2) in first.out
    cursor = first.out.rpartition("--after ")[2].strip()
    second = callrec("recordings", "list", "--limit", "1", "--after", cursor, "--json").json
    assert [one["recording"]["recording_id"] for one in second["recordings"]] == [an_id(1)]
    calls = callrec("calls", "list", "--limit", "1", "--json").json
    rest = callrec("calls", "list", "--after", calls["next_cursor"]).out
    assert (an_id(1, "c") in rest, an_id(2, "c") in rest, "--after" in rest) == (True, False, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--number", "+-"], "number '+-': has no digit"),
        (["--after", "x"], "cursor 'x': is none"),
        (["--time-of-day", "8-17"], "'8-17' is no time of day"),
        (["--time-of-day", "08:00-24:30"], "is no time of day"),
        (["--time-of-day", "24:00-25:00"], "is no time of day"),
        (["--weekday", "weekend"], "'weekend' is no day"),
        (["--weekday", "mon-"], "'mon-' is no day"),
        (["--weekday", "mon", "--time-zone", "Mars/Olympus"], "'Mars/Olympus' is no time zone"),
        (["--longer-than", "long"], "'long' is no length"),
        (["--consent", "maybe"], "maybe"),
    ],
)
def test_what_makes_no_sense_is_named(callrec: Commands, options: list[str], message: str) -> None:
    ran = callrec("recordings", "list", *options)
    assert ran.status == 2
    assert message in " ".join(ran.err.replace("│", " ").split())


def test_tags_and_the_flag(callrec: Commands, store: RecordingStore, sqlite_url: str) -> None:
    assert callrec("recordings", "tag", an_id(1)).out == "vip\n"
    ran = callrec("recordings", "tag", an_id(1), "--add", " to do ", "--remove", "vip", "--json")
    assert ran.json == {"recording_id": an_id(1), "tags": ["to do"]}
    assert callrec("recordings", "tag", an_id(1), "--remove", "to do").out == "no tags\n"
    assert callrec("recordings", "flag", an_id(2)).out == "flagged\n"
    assert callrec("recordings", "flag", an_id(1), "--off", "--json").json["flagged"] is False
    found = callrec("recordings", "list", "--flagged", "--json").json["recordings"]
    assert [one["recording"]["recording_id"] for one in found] == [an_id(2)]
    assert store.read_sidecar(store.sidecar_path(a_recording(1, at=START))).recording.tags == ()
    engine: Engine = open_current(sqlite_url)
    with engine.begin() as connection:
        lines = connection.execute(text("SELECT subject, action FROM audit ORDER BY seq")).all()
    engine.dispose()
    assert sorted(map(tuple, lines)) == [(an_id(1), "change")] * 3 + [(an_id(2), "change")]


@pytest.mark.parametrize("tag", ["", " ", "x" * 51, "a\nb"])
def test_a_tag_that_is_none_is_said_so(callrec: Commands, tag: str) -> None:
    ran = callrec("recordings", "tag", an_id(1), "--add", tag)
    assert ran.status == 2
    assert "is no tag" in ran.err
    many = [option for n in range(20) for option in ("--add", str(n))]
    assert "it would have 21 tags" in callrec("recordings", "tag", an_id(1), *many).err
