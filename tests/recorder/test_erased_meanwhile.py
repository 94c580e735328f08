"""What is pruned or cleared while the listener still has facts of it stays so."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.holds import connect
from callrec_pbx.catalogue.writer import CatalogueWriter
from callrec_pbx.catalogue.written import note_written
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.retention.erase import begin_or_go_on, carry_out, plan_erasure
from callrec_pbx.retention.erase_find import find, number_of
from tests.databases import only_sqlite
from tests.retention.made import Made
from tests.storage.samples import a_call, a_recording

NUMBER = "+4930123456"
DIGITS = NUMBER[1:]

pytestmark = only_sqlite

Save = Callable[[Spool, RecordingFacts, CallFacts, Callable[[], Awaitable[None]]], Awaitable[None]]


def erase(made: Made) -> None:
    place = Place(made.engine, made.store)
    number = number_of(place, NUMBER)
    plan = plan_erasure(place, find(place, number))
    carry_out(place, begin_or_go_on(place, plan, number, "anna", ""), plan.stays)


def places_with_the_number(made: Made) -> list[str]:
    with made.engine.connect() as connection:
        found = [
            f"{table}.{column}"
            for table in inspect(made.engine).get_table_names()
            for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings()
            for column, value in row.items()
            if DIGITS in str(value)
        ]
    return found + [str(name) for name, content in made.files().items() if DIGITS in str(content)]


async def a_call_that_waits_to_be_written(
    spool: Spool, _: RecordingFacts, call: CallFacts, erasing: Callable[[], Awaitable[None]]
) -> None:
    spool.save_call(call)
    await erasing()


async def a_recording_that_is_saved_again(
    spool: Spool,
    recording: RecordingFacts,
    call: CallFacts,
    erasing: Callable[[], Awaitable[None]],
) -> None:
    await erasing()
    await spool.save_recording(recording, call)


@pytest.mark.parametrize("save", [a_call_that_waits_to_be_written, a_recording_that_is_saved_again])
async def test_what_is_saved_late_does_not_come_back(
    engine: Engine, tmp_path: Path, save: Save
) -> None:
    made = Made(engine, tmp_path / "recordings")
    connect(made.store.holds, engine)
    writer = CatalogueWriter(engine, on_written=partial(note_written, made.store))
    spool = Spool(made.store, writer, 0)
    call = a_call(1)
    recording = a_recording(1, call)
    made.call(call, recording)
    assert places_with_the_number(made)
    await save(spool, recording, call, lambda: asyncio.to_thread(erase, made))
    await spool.close()
    writer.close(20)
    assert places_with_the_number(made) == []
