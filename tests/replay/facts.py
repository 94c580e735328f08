"""What came of a listener's calls, without what differs from run to run."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from tests.calls.listener import Listener

OF_FILE = ("size", "sha256", "encoded_size", "encoded_sha256", "repaired", "named", "to_do")
"""What depends on the audio, which is silence here, and on what is done with it later."""

OF_PROMPTS = ("prompt_sha256", "prompt_version")

OF_PAUSES = (".from_ms", ".to_ms")
TIME = "_at"

ABOUT_MS = 500
"""Tolerance of times (ms). They come from FreeSWITCH's events and are the same to the microsecond,
but for what it has no event for (a pause) or what was seen in a snapshot: then it is usually 30."""

OURS = ("call_id", "recording_id", "policy_version", "explanation", "delete_after", "tries")


def facts_of(listener: Listener) -> dict[str, Any]:
    """Calls and recordings, each with the PBX's ids instead of ours, as JSON has them."""
    calls = {call.call_id: call for call in listener.call_facts()}
    told = {key: " ".join(call.pbx_ids) for key, call in calls.items()}
    recordings = sorted(listener.recording_facts(), key=lambda one: (one.leg, one.recording_id))
    return {
        "calls": sorted((_call(call, told) for call in calls.values()), key=_order),
        "recordings": [_recording(one, told) for one in recordings],
    }


def _order(call: dict[str, Any]) -> tuple[str, str]:
    return str(call["started_at"]), str(call["pbx_ids"])


def _call(call: CallFacts, told: dict[str, str]) -> dict[str, Any]:
    found = _plain(call)
    found["merged_into"] = told.get(call.merged_into, call.merged_into)
    found["legs"] = sorted(found["legs"], key=lambda leg: str(leg["leg"]))
    return found


def _recording(recording: RecordingFacts, told: dict[str, str]) -> dict[str, Any]:
    return {**_plain(recording), "call": told.get(recording.call_id, "?")}


def _plain(facts: CallFacts | RecordingFacts) -> dict[str, Any]:
    found: dict[str, Any] = _json(asdict(facts))
    return found


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        left_out = (*OF_FILE, *OF_PROMPTS, *OURS)
        return {key: _json(one) for key, one in value.items() if key not in left_out}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, StrEnum) else value


def differences(wanted: Any, found: Any, where: str = "") -> list[str]:
    """What is not as it was, one line each."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = sorted(wanted.keys() | found.keys())
        return [
            line
            for key in keys
            for line in differences(wanted.get(key), found.get(key), f"{where}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) != len(found):
        return [
            *(f"{where}: no more {one}" for one in wanted if one not in found),
            *(f"{where}: not before {one}" for one in found if one not in wanted),
        ]
    if isinstance(wanted, list) and isinstance(found, list):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [line for place, (a, b) in pairs for line in differences(a, b, f"{where}[{place}]")]
    return (
        [] if _same(wanted, found, where) else [f"{where.lstrip('.')}: {wanted!r}, now {found!r}"]
    )


def _same(wanted: Any, found: Any, where: str) -> bool:
    if where.endswith(OF_PAUSES) and isinstance(wanted, int) and isinstance(found, int):
        return abs(wanted - found) <= ABOUT_MS
    if where.endswith(TIME) and isinstance(wanted, str) and isinstance(found, str):
        apart = datetime.fromisoformat(wanted) - datetime.fromisoformat(found)
        return abs(apart) <= timedelta(milliseconds=ABOUT_MS)
    return bool(wanted == found)
