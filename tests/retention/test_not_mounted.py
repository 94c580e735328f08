"""A recordings directory that is not mounted: nothing is said to be deleted that is not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.retention.run import Terms, foresee, run
from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite
from tests.retention.made import Made
from tests.storage.samples import a_call, a_recording, an_id

pytestmark = only_sqlite

NUMBER = a_call().a_number


@pytest.fixture
def callrec(tmp_path: Path, url: str, made: Made) -> Commands:
    return configured(tmp_path, url, made.store.directory)


@pytest.fixture(params=["missing", "empty"])
def disk(request: pytest.FixtureRequest, made: Made, tmp_path: Path) -> Path:
    """Where the recordings are while their directory is not mounted."""
    made.call(a_call(), a_recording())
    disk = tmp_path / "disk"
    made.store.directory.rename(disk)
    if request.param == "empty":
        made.store.directory.mkdir()
    return disk


def lies_there(made: Made, disk: Path) -> bool:
    """Whether the audio is on its disk, and nothing was written where it is mounted."""
    audio = [path.stem for path in disk.rglob("*.wav")]
    written = made.store.directory.is_dir() and list(made.store.directory.glob("2*"))
    return audio == [an_id(1)] and not written


def test_a_run_changes_nothing(made: Made, disk: Path) -> None:
    before = made.tables()
    with pytest.raises(OSError, match=made.store.directory.name):
        run(made.place, Terms())
    with pytest.raises(OSError, match="mount"):
        list(foresee(made.place, Terms()))
    assert made.tables() == before
    assert lies_there(made, disk)


@pytest.mark.parametrize(
    "arguments",
    [
        ("retention", "run", "--dry-run"),
        ("retention", "run"),
        ("erase", "--number", NUMBER, "--reference", "DSR-1", "--yes"),
        ("recordings", "tag", an_id(1), "--add", "complaint"),
    ],
    ids=" ".join,
)
def test_commands_say_it(
    made: Made, callrec: Commands, disk: Path, arguments: tuple[str, ...]
) -> None:
    before = made.tables()
    ran = callrec(*arguments)
    assert (ran.status, "recordings.directory" in ran.err, "mount" in ran.err) == (2, True, True)
    assert made.tables() == before
    assert lies_there(made, disk)


def test_a_directory_that_refuses_is_named(made: Made, callrec: Commands) -> None:
    """What no part of the product has put into words is told with the setting and a remedy."""
    made.call(a_call(), a_recording(delete_after=datetime(2999, 1, 1, tzinfo=UTC)))
    lock = made.store.directory / ".retention.lock"
    lock.mkdir()
    ran = callrec("retention", "run")
    assert ran.status == 2
    assert f"recordings.directory '{made.store.directory}': {lock}: Is a directory" in ran.err


def test_a_new_installation_has_nothing_to_miss(made: Made) -> None:
    assert run(Place(made.engine, made.store), Terms()).recordings == 0
