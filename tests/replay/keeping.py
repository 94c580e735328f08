"""Keeps as a transcript what a listener and FreeSWITCH say in a test.

Done where the environment names a folder in `CALLREC_CAPTURE`.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callrec_pbx.audio import wav
from callrec_pbx.audio.manifest import MANIFEST
from callrec_pbx.catalogue import migrate
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import Channels
from tests.bed.esl_capture import EslCapture, named_test
from tests.calls.listener import Listener
from tests.replay.facts import facts_of
from tests.replay.transcript import (
    BEAT,
    CLOCK,
    Entry,
    Kind,
    Placeholders,
    Rows,
    Setting,
    Transcript,
    pairs,
)

VARIABLE = "CALLREC_CAPTURE"
PORT = "CALLREC_FREESWITCH__PORT"

DEAF_S = 0.5
"""A command that was not answered for so long (s), and never, was not heard."""

RATE = 8000

UNPLAYABLE = frozenset(
    {
        "test_announcements::test_one_that_is_imported_while_the_listener_runs",
        "test_faults_listener::test_frozen_while_offers_arrive",
        "test_faults_listener::test_pause_pressed_while_it_is_frozen",
        "test_faults_listener::test_killed_again_and_again_right_after_hangups",
        "test_faults_listener::test_killed_between_closed_file_and_checksum",
        "test_faults_listener::test_killed_between_hangup_and_finish",
        "test_faults_listener::test_killed_between_sidecar_and_start",
        "test_faults_listener::test_killed_between_start_and_its_confirmation",
        "test_faults_storage",
        "test_policy_live::test_no_event_is_lost_while_versions_come",
        "test_profile_code::test_it_cannot_be_written",
        "test_profile_code::test_the_listener_is_frozen",
        "test_start_stop::test_stopped_after_a_restart_of_the_listener",
        "test_unavailable::test_frozen_and_the_call_goes_on",
        "test_unavailable::test_the_call_ends_after_a_notice",
    }
)
"""Tests, and files of tests, in which something else than FreeSWITCH decides what the listener
does: it is stopped (SIGSTOP) or killed in the middle of something, cannot write, or takes a new
policy or prompt after a while."""

_SECRET = re.compile(r"^(password|port) = .*$", re.MULTILINE)

SETTINGS = (
    *("tenant", "site", "department", "person", "profile", "line", "ddi", "queue"),
    *("acknowledgement", "policy_version", "excluded_number", "people_change", "profile_switch"),
)
"""Tables of what is set up; the others are filled by the listener."""


def folder() -> Path | None:
    """Where transcripts go; None: nothing is captured."""
    named = os.environ.get(VARIABLE, "")
    return Path(named) if named else None


_watched: dict[int, Keeping] = {}

_failed: set[str] = set()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that could not be played."""
    if folder() is not None:
        left_out = [item for item in items if _is_unplayable(named_test(item.nodeid))]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_unplayable(test: str) -> bool:
    return bool(UNPLAYABLE & {test, test.partition("::")[0]})


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Take note of tests that fail: what their listeners did is no example."""
    if report.failed:
        _failed.add(named_test(report.nodeid))


def watch(listener: Listener) -> None:
    """Begin a transcript of what this listener will say, where transcripts are wanted."""
    if folder() is not None and listener.house.pbx == "freeswitch":
        keeping = _watched[id(listener)] = Keeping(listener)
        listener.before_start, listener.after_change = keeping.begin, keeping.changed


def keep(listener: Listener) -> None:
    """Write its transcript: it has ended, and what came of it is right."""
    keeping, into = _watched.pop(id(listener), None), folder()
    if keeping is not None and into is not None:
        keeping.finish(into)


class Keeping:
    """One listener's transcript in the making."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._capture = EslCapture()
        self._kept = Transcript("")
        self._before: Setting = {}

    def begin(self) -> dict[str, str]:
        """Be in between when the listener starts; returns what its environment must have."""
        listener = self._listener
        self._kept.revision = migrate.current(listener.url) or ""
        target = int(os.environ.get(PORT, listener.house.control_port))
        return {PORT: str(self._capture.begin(target, json.dumps(self._news())))}

    def changed(self) -> None:
        """Note what somebody has changed while the listener runs."""
        if self._before and self._listener.process is not None:
            rows = self._news().get("rows")
            if rows:
                self._capture.note(Kind.CHANGED, json.dumps(rows))

    def _news(self) -> Setting:
        """What has changed since the last time."""
        listener, before = self._listener, self._before
        now = self._before = Setting(
            config=_SECRET.sub(r"\1 = @\1@", listener.config.read_text()),
            prompts=(listener.house.sounds / MANIFEST).read_text(),
            rows=_rows(listener.catalogue),
        )
        found = Setting()
        for name in ("config", "prompts"):
            if now[name] != before.get(name):
                found[name] = now[name]
        known = before.get("rows", {})
        rows = {table: rows for table, rows in now["rows"].items() if rows != known.get(table)}
        return Setting(**found, rows=rows) if rows else found

    def finish(self, into: Path) -> None:
        """Write the transcript of a listener that has ended and whose account balances."""
        listener, kept = self._listener, self._kept
        entries = self._capture.end()
        tests = sorted({entry.test for entry in entries} - {""})
        if not set(tests) - _failed or not listener.recordings.is_dir():
            return
        kept.epoch_us = _epoch_us(entries)
        entries = tidy(changes_in_place(entries, kept.epoch_us))
        recordings = {one.recording_id: one for one in listener.recording_facts()}
        ids = {*recordings, *(call.call_id for call in listener.call_facts())}
        fixed = {
            "recordings": str(listener.recordings),
            "listener": str(listener.folder),
            "bed": str(listener.house.dir),
            **_addresses(entries),
        }
        places = Placeholders(fixed, listener.recordings, ids)
        for entry in entries:
            entry.text = places.hide(entry.text)
        kept.entries = entries
        for key, recording in recordings.items():
            found = _audio(listener.audio(recording), recording)
            if found is not None:
                kept.audio[places.audio_of(key)] = found
        kept.facts = json.loads(places.hide(json.dumps(facts_of(listener))))
        modules = sorted({test.partition("::")[0] for test in tests})
        kept.name = tests[0].replace("::", ".") if len(tests) == 1 else "-".join(modules)
        kept.about = {"captured": f"{datetime.now(UTC):%Y-%m-%d}", "tests": " ".join(tests)}
        leave_out(kept, set(tests) & _failed)
        kept.save(into)


def _audio(path: Path, recording: RecordingFacts) -> tuple[int, int, int] | None:
    """Rate, channels and samples of each; of what was encoded and removed, as it was known."""
    if path.exists():
        found = wav.inspect(path)
        return found.rate, found.channels, found.frames
    if not recording.audio_ms:
        return None
    channels = 2 if recording.channels is Channels.STEREO else 1
    return RATE, channels, recording.audio_ms * RATE // 1000


def _rows(catalogue: Path) -> Rows:
    with sqlite3.connect(f"file:{catalogue}?mode=ro", uri=True) as db:
        db.row_factory = sqlite3.Row
        found = {one: [dict(row) for row in db.execute(f"SELECT * FROM {one}")] for one in SETTINGS}
    return {table: rows for table, rows in found.items() if rows}


def _addresses(entries: Iterable[Entry]) -> dict[str, str]:
    """The machine's own address, which FreeSWITCH tells in every event."""
    for entry in entries:
        found = re.search(r'"FreeSWITCH-IPv4":"([\d.]+)"', entry.text)
        if found and not found[1].startswith("127."):
            return {"address": found[1]}
    return {}


def leave_out(kept: Transcript, tests: set[str]) -> None:
    """Leave out what was said of the legs of some tests, and what came of them."""
    of_tests = [entry for entry in kept.entries if entry.test in tests]
    created = (one.text for one in of_tests if one.event == "CHANNEL_CREATE")
    legs = {json.loads(text)["Unique-ID"] for text in created}
    if not legs:
        return
    about = re.compile("|".join(map(re.escape, sorted(legs))))
    answer_of = pairs(kept.entries)
    gone = {place for place, one in enumerate(kept.entries) if about.search(one.text)}
    gone |= {answer_of[place] for place in gone & answer_of.keys()}
    kept.entries = [one for place, one in enumerate(kept.entries) if place not in gone]
    for kind in ("calls", "recordings"):
        kept.facts[kind] = [one for one in kept.facts[kind] if not about.search(json.dumps(one))]
    kept.about["left_out"] = " ".join(sorted(tests))


def _epoch_us(entries: list[Entry]) -> int:
    """FreeSWITCH's time at the beginning, from its first answer about that."""
    for place, entry in enumerate(entries):
        if entry.kind is Kind.ASKED and entry.text == CLOCK:
            answers = (one for one in entries[place:] if one.is_reply and one.link == entry.link)
            answer = next(answers, None)
            if answer is not None and answer.text.isdecimal():
                return int(answer.text) - round(answer.at * 1e6)
    return 0


def changes_in_place(entries: list[Entry], epoch_us: int) -> list[Entry]:
    """The same with each change of the policy when it was made.

    It is noted when the command that makes it has ended, and the listener may act on it before.
    """
    for entry in entries:
        versions = (
            json.loads(entry.text).get("policy_version") if entry.kind is Kind.CHANGED else ()
        )
        if versions:
            made = max(datetime.fromisoformat(version["at"]) for version in versions)
            seconds = made.replace(tzinfo=UTC).timestamp() - epoch_us / 1e6
            entry.at = min(entry.at, round(seconds, 4))
    return sorted(entries, key=lambda entry: entry.at)


def tidy(entries: list[Entry]) -> list[Entry]:
    """The same without heartbeats that were answered and links on which nothing was said."""
    spoken = {entry.link for entry in entries if entry.kind is Kind.SAID}
    links = sorted(spoken)
    number = {0: 0} | {link: place for place, link in enumerate(links, start=1)}
    entries = [entry for entry in entries if entry.link in number]
    left_out: set[int] = set()
    deaf: dict[int, int] = {}
    for link in links:
        mine = [(place, entry) for place, entry in enumerate(entries) if entry.link == link]
        asked = [(place, one) for place, one in mine if one.kind is Kind.ASKED]
        answers = [place for place, one in mine if one.is_reply]
        for (place, one), answer in zip(asked, answers, strict=False):
            refused = entries[answer].text.startswith("-")
            if BEAT.fullmatch(one.text) and not refused:
                left_out |= {place, answer}
        unheard = asked[len(answers) :]
        left_out |= {place for place, one in unheard if BEAT.fullmatch(one.text)}
        last = mine[-1][1]
        if unheard and last.kind is Kind.LEFT and last.at - unheard[0][1].at > DEAF_S:
            deaf[unheard[0][0]] = link
            left_out |= {place for place, _ in unheard}
    found = []
    for place, entry in enumerate(entries):
        if place in deaf:
            found.append(Entry(Kind.DEAF, entry.at, number[entry.link], test=entry.test))
        if place not in left_out:
            entry.link = number[entry.link]
            found.append(entry)
    return found
