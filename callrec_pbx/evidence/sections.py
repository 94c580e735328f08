"""The document in words: sections of names and values, which a text and a page show alike."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and what stands below it; a value that is empty is left out."""

    title: str
    facts: tuple[tuple[str, str], ...]


def sections(document: dict[str, Any]) -> Iterator[Section]:
    """The parts of a document, in the order in which they are read."""
    yield _section(
        "Evidence of one call",
        ("call", document["call_id"]),
        ("made at", _time(document["made_at"])),
        ("made by", document["made_by"]),
        ("made with", f"callrec-pbx {document['product_version']}"),
        ("times", "are UTC"),
        (
            "merged",
            f"the conversation was {len(document['calls'])} calls that were merged; all are shown"
            if document["merged"]
            else "",
        ),
        *(("not all legal holds are shown", one) for one in document["holds_not_read"]),
    )
    for call in document["calls"]:
        yield from _call(call)
    for policy in document["policies"]:
        yield _policy(policy)
    if not document["recordings"]:
        yield _section("Recordings", ("recordings", "none is known of this call"))
    for recording in document["recordings"]:
        yield from _recording(recording)
    yield from _audit(document["audit"])


def _call(call: dict[str, Any]) -> Iterator[Section]:
    yield _section(
        f"Call {call['call_id']}",
        ("part of", call["merged_into"]),
        ("ids on the PBX", ", ".join(call["pbx_ids"])),
        ("tenant", call["tenant"]),
        ("direction", call["direction"] or UNKNOWN),
        ("from (A)", " ".join(part for part in (call["a_number"], call["a_name"]) if part)),
        ("dialled (B)", call["b_number"]),
        ("answered by (C)", call["c_number"]),
        ("DDI", call["ddi"]),
        ("queue", call["queue"]),
        ("transfers", ", ".join(call["transfers"])),
        ("started", _time(call["started_at"])),
        ("answered", _time(call["answered_at"]) or UNKNOWN),
        ("ended", _time(call["ended_at"]) or "not yet, as far as is known"),
        ("outcome in the account", call["outcome"] or "none yet"),
        ("reason", call["reason"]),
        ("rule", call["rule"]),
        ("policy version", call["policy_version"]),
        *_explained(call["explanation"]),
        *_cleared(call["tombstone"]),
        *_holds(call["holds"]),
    )
    for leg in call["legs"]:
        whispered = _time(leg["whispered_at"])
        yield _section(
            f"Leg {leg['leg']} of call {call['call_id']}",
            ("kind", leg["kind"]),
            ("line", leg["line"]),
            ("number", " ".join(part for part in (leg["number"], leg["name"]) if part)),
            ("channel", leg["channel"]),
            ("from", _time(leg["created_at"])),
            ("talked from", _time(leg["bridged_at"])),
            ("to", _time(leg["ended_at"])),
            ("whisper", f"was played at {whispered}" if whispered else ""),
        )
    if not call["consents"]:
        yield _section(
            f"Consent in call {call['call_id']}",
            ("asked", "nothing is written down of anybody having been told or asked"),
        )
    for consent in call["consents"]:
        yield _consent(call, consent)


def _consent(call: dict[str, Any], consent: dict[str, Any]) -> Section:
    text = consent["prompt_text"]
    return _section(
        f"Consent of {consent['party']} in call {call['call_id']}",
        ("number", consent["number"]),
        ("asked by way of", consent["mode"]),
        ("written down as", consent["outcome"]),
        ("key", consent["key"] or "none"),
        ("prompt", consent["prompt"]),
        ("language", consent["language"]),
        ("prompt's version", consent["prompt_version"]),
        ("prompt's SHA-256", consent["prompt_sha256"]),
        ("prompt's words", f'"{text}"' if text else ""),
        ("played from", _time(consent["played_from"])),
        ("played to", _time(consent["played_to"])),
        ("played", f"{consent['played_ms']} of {consent['prompt_ms']} ms"),
        *(("this means", said) for said in consent["said"]),
    )


def _policy(policy: dict[str, Any]) -> Section:
    title = f"Policy version {policy['version']}"
    if not policy["known"]:
        return _section(title, ("known", "nothing more is known of this version"))
    return _section(
        title,
        ("made at", _time(policy["at"])),
        ("author", policy["author"]),
        ("what was changed", policy["kind"].replace("_", " ")),
        ("its text is that of version", policy["text_version"] or ""),
        ("SHA-256 of the text", policy["text_sha256"] or "there was no text yet"),
    )


def _recording(one: dict[str, Any]) -> Iterator[Section]:
    facts, encoded = one["facts"], one["encoded"]
    rest = []
    if encoded is not None:
        rest = _file(f"{encoded['format']} file", encoded)
    yield _section(
        f"Recording {facts['recording_id']}",
        ("call", facts["call_id"]),
        ("leg", facts["leg"]),
        ("owner", facts["owner"]),
        ("line", facts["line"]),
        ("state", facts["state"]),
        ("reason", facts["reason"]),
        ("started", _time(facts["started_at"]) or UNKNOWN),
        ("ended", _time(facts["ended_at"]) or UNKNOWN),
        ("talk before its start", f"{facts['late_ms']} ms" if facts["late_ms"] else ""),
        ("mode", facts["mode"]),
        ("consent that the rule asks for", facts["consent"]),
        ("rule", facts["rule"]),
        ("policy version", facts["policy_version"]),
        *_explained(facts["explanation"]),
        ("length", UNKNOWN if facts["audio_ms"] is None else f"{facts['audio_ms']} ms"),
        ("header repaired", "yes" if facts["repaired"] else ""),
        *_file("WAV file", one["wav"]),
        *rest,
        *(("pause", _pause(pause)) for pause in one["pauses"]),
        ("retention plan", facts["retention"]),
        ("kept until", _time(facts["delete_after"]) or "no date is set"),
        *_holds(one["holds"]),
        *_deletion(one["deletion"]),
        *_cleared(one["tombstone"]),
        (
            "these facts are from",
            "the sidecar beside the audio"
            if one["facts_from"] == "sidecar"
            else "the catalogue, as there is no sidecar that can be read",
        ),
    )


def _file(name: str, file: dict[str, Any]) -> list[tuple[str, str]]:
    size = "" if file["size"] is None else f"{file['size']} bytes"
    return [
        (f"{name}, size when finished", size),
        (f"{name}, SHA-256 when finished", file["sha256"] or "was not written down"),
        (f"{name} now", file["said"]),
        (f"{name}, SHA-256 now", file["sha256_now"] or ""),
    ]


def _pause(pause: dict[str, Any]) -> str:
    if pause["to_ms"] is None:
        return f"from {pause['from_ms']} ms after the start; its end is not known"
    return (
        f"from {pause['from_ms']} to {pause['to_ms']} ms after the start: "
        f"{pause['length_ms']} ms of the talk are not recorded"
    )


def _explained(explanation: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for step in explanation["steps"]:
        detail = f": {step['detail']}" if step["detail"] else ""
        yield "looked at", f"{step['what']} ({step['result'].replace('_', ' ')}){detail}"
    for one in explanation["settings"]:
        yield "setting", f"{one['setting']} = {one['value']}, from {one['origin']}"


def _holds(holds: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for hold in holds:
        released = ""
        if hold["released_at"] is not None:
            released = f"; released {_time(hold['released_at'])} by {hold['released_by']}"
        yield (
            "legal hold",
            f"{hold['hold_id']} on a {hold['kind']}, placed {_time(hold['placed_at'])} by "
            f"{hold['placed_by']}: {hold['reason']}{released}",
        )


def _deletion(deletion: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if deletion is not None:
        yield (
            "deletion asked for",
            f"by {deletion['by']}, to take effect {_time(deletion['at'])}: {deletion['why']}",
        )


def _cleared(tombstone: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if tombstone is not None:
        yield (
            "cleared",
            f"{_time(tombstone['pruned_at'])} by {tombstone['pruned_by']}: {tombstone['why']}; "
            "personal data are gone with it",
        )


def _audit(audit: dict[str, Any]) -> Iterator[Section]:
    lines = [
        (
            f"{line['tenant'] or 'installation'} {line['seq']}",
            f"{line['at']} {line['actor']}: {line['action']} {line['kind']} {line['subject']} "
            f"{line['detail']} [{line['hash']}]"
            + ("" if line["hash_agrees"] else " THIS LINE HAS BEEN CHANGED"),
        )
        for line in audit["lines"]
    ]
    yield _section(
        "Lines of the audit trail", *(lines or [("lines", "there is none about this call")])
    )
    yield _section(
        "Last lines of the audit trail when this was made",
        *(
            (head["tenant"] or "installation", f"{head['seq']} at {head['at']} [{head['hash']}]")
            for head in audit["heads"]
        ),
    )


def _section(title: str, *facts: tuple[str, str]) -> Section:
    return Section(title, tuple(fact for fact in facts if fact[1]))


def _time(text: str | None) -> str:
    return (text or "").replace("T", " ").removesuffix("Z").removesuffix("+00:00")
