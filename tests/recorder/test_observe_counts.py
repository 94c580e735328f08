"""What is counted in the database and in folders."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx import metrics
from callrec_pbx.audio.prompts import shipped_prompts_dir
from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.catalogue.rows import RECORDING, RecordingRow
from callrec_pbx.domain.words import FollowUp, RecordingState
from callrec_pbx.followup.waiting import MOST_TRIES
from callrec_pbx.recorder import observe_counts
from callrec_pbx.recorder.observe_counts import Counts, counting
from callrec_pbx.storage.serial import CallSidecar
from callrec_pbx.storage.store import RecordingStore
from tests.recorder.fakes import CALL, recording


def shown(name: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"callrec_{name}")


def write(engine: Engine) -> None:
    """Two recordings that wait, one that is set aside, and three that are done or running."""
    stored = recording(2, state=RecordingState.STORED)
    work = (FollowUp.WAVEFORM,)
    found = [
        *(replace(stored, recording_id=f"{n:026d}", to_do=work) for n in (2, 3)),
        replace(stored, recording_id=f"{4:026d}", to_do=work, tries=MOST_TRIES),
        *(replace(stored, recording_id=f"{n:026d}") for n in (5, 6)),
        recording(7, state=RecordingState.RECORDING),
    ]
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(CALL), *(RecordingRow(one) for one in found)])


def test_counts(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(engine)
    store = RecordingStore(tmp_path / "recordings")
    Counts(engine, store, tmp_path, "en").show()
    assert shown("follow_up_backlog_recordings") == 2
    assert shown("follow_up_set_aside_recordings") == 1
    assert shown("legal_holds") == 0
    assert shown("prompts_missing") == 5
    monkeypatch.setattr(observe_counts, "MOST", 1)
    Counts(engine, store, shipped_prompts_dir(), "en").show()
    assert shown("follow_up_backlog_recordings") == 1
    assert shown("prompts_missing") == 0


@pytest.mark.parametrize("aside", [True, False])
def test_it_goes_by_the_small_index(sqlite_url: str, aside: bool) -> None:
    """Which has what is still to be done, and not all that was ever recorded."""
    engine = open_current(sqlite_url)
    done = RECORDING.c.tries >= MOST_TRIES
    query = counting(done if aside else ~done).compile(
        engine, compile_kwargs={"literal_binds": True}
    )
    with engine.begin() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")
        steps = " ".join(str(row) for row in plan)
    assert "ix_recording_to_do" in steps
    engine.dispose()
