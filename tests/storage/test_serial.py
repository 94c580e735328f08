"""The sidecar format: exact round trips, and complaints that name the field."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.storage import serial
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError, Tombstone
from tests.storage.samples import START, a_call, a_recording, anything

TOMBSTONES = st.none() | anything(Tombstone)


@settings(deadline=None)
@given(anything(RecordingFacts), anything(CallFacts), TOMBSTONES)
def test_a_sidecar_reads_back_as_it_was(
    recording: RecordingFacts, call: CallFacts, tombstone: Tombstone | None
) -> None:
    sidecar = Sidecar(recording, call, tombstone)
    assert serial.load(serial.dump(sidecar)) == sidecar
    of_call = CallSidecar(call, tombstone)
    assert serial.load_call(serial.dump(of_call)) == of_call


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_python_string_survives(name: str, channel: str) -> None:
    sidecar = Sidecar(a_recording(channel=channel + "\udc80\x00\r\n"), a_call(a_name=name))
    data = serial.dump(sidecar)
    assert data.isascii()
    assert b"\n" not in data
    assert serial.load(data) == sidecar


def test_times_sort_as_texts() -> None:
    whole = START.replace(microsecond=0)
    texts = [serial.time_to_text(at) for at in (whole, START)]
    assert texts == ["2026-03-01T09:00:00.000000Z", "2026-03-01T09:00:00.123456Z"]


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        serial.dump(CallSidecar(a_call(started_at=START.replace(tzinfo=None))))


def test_unknown_keys_are_tolerated() -> None:
    sidecar = Sidecar(a_recording(), a_call())
    document = json.loads(serial.dump(sidecar))
    document["waveform"] = {}
    document["recording"]["score"] = 5
    document["call"]["legs"][0]["codec"] = "opus"
    assert serial.load(json.dumps(document).encode()) == sidecar


def test_a_field_with_a_default_may_be_absent() -> None:
    document = json.loads(serial.dump(Sidecar(a_recording(), a_call())))
    del document["recording"]["repaired"]
    assert serial.load(json.dumps(document).encode()).recording == a_recording()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema"], 2, "field 'schema': 2 is not 1; a newer callrec-pbx"),
        (["recording"], None, "recording: NoneType is not an object"),
        (["recording", "state"], "melted", "recording: field 'state': str is not one of sta"),
        (["recording", "late_ms"], True, "recording: field 'late_ms': bool is not of type int"),
        (["recording", "late_ms"], 1.5, "recording: field 'late_ms': float is not of type int"),
        (["recording", "created_at"], "soon", "field 'created_at': str is not a time"),
        (["recording", "created_at"], "2026-01-01T00:00:00", "has no time zone"),
        (["recording", "owner"], None, "recording: field 'owner': NoneType is not of type str"),
        (["recording", "pauses"], {}, "recording: field 'pauses': dict is not a list"),
        (["recording", "pauses"], [{}], "field 'pauses'[0].field 'from_ms' is missing"),
        (["call", "pbx_ids"], ["1", 2], "call: field 'pbx_ids'[1]: int is not of type str"),
        (["call", "legs"], [7], "call: field 'legs'[0]: int is not an object"),
        (["tombstone"], {"why": ""}, "tombstone: field 'pruned_at' is missing"),
    ],
)
def test_a_wrong_value_is_located_and_not_repeated(
    path: list[str], value: Any, message: str
) -> None:
    document = json.loads(serial.dump(Sidecar(a_recording(), a_call())))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(SidecarError) as raised:
        serial.load(json.dumps(document).encode())
    assert message in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"{}"])
def test_what_is_no_sidecar_is_said_so(data: bytes) -> None:
    with pytest.raises(SidecarError):
        serial.load(data)
