"""`callrec-pbx recordings show`: whose a recording is, and why it was made."""

from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import Explanation, Inherited, Step
from callrec_pbx.domain.words import Channels, Tried
from callrec_pbx.storage.serial import CallSidecar
from tests.catalogue.cli import configured
from tests.storage.samples import a_call, a_recording, an_id

WHY = Explanation(
    (Step("tenant", Tried.PASSED, "default"), Step("rule", Tried.NO_MATCH, "[bold]board: line")),
    (Inherited("consent", "opt_out", "site Stockholm"),),
)


def flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_the_steps_and_settings_of_a_recording_are_shown(
    tmp_path: Path, url: str, engine: Engine
) -> None:
    callrec = configured(tmp_path, url, tmp_path)
    of_call = Explanation((Step("rule", Tried.MATCHED, "of the call"),))
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(replace(a_call(), explanation=of_call))])
        rows.write(connection, [RecordingRow(replace(a_recording(), explanation=WHY))])
    text = flat(callrec("recordings", "show", an_id(1)).out)
    assert "tenant passed default" in text
    assert "rule no match [bold]board: line" in text
    assert "consent opt_out site Stockholm" in text
    assert "of the call" not in text
    with engine.begin() as connection:
        unexplained = replace(a_recording(), explanation=Explanation())
        rows.write(connection, [RecordingRow(unexplained)])
    assert "rule matched of the call" in flat(callrec("recordings", "show", an_id(1)).out)


def test_whose_a_recording_is_and_where_that_belongs(
    tmp_path: Path, url: str, engine: Engine
) -> None:
    callrec = configured(tmp_path, url, tmp_path)
    mine = a_recording(
        owner="anna@example.org", line="301", tenant="acme", channels=Channels.STEREO
    )
    older = a_recording(2, line="", tenant="", site="", department="")
    with engine.begin() as connection:
        rows.write(connection, [RecordingRow(mine), RecordingRow(older)])
    text = flat(callrec("recordings", "show", an_id(1)).out)
    assert "owner anna@example.org line 301 tenant acme site Berlin department Sales" in text
    assert "channels stereo mode always_pausable rule sales (policy p1)" in text
    text = flat(callrec("recordings", "show", an_id(2)).out)
    assert "owner 201 started" in text
