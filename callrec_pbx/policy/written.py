"""The domain's policy in the form of the document that people write; back by `document`."""

import json
from datetime import date, datetime
from typing import Any

from callrec_pbx.domain.policy.rules import (
    MINUTES_A_DAY,
    Holiday,
    Place,
    PolicyText,
    Rule,
    Window,
)
from callrec_pbx.domain.policy.settings import Settings, names
from callrec_pbx.domain.words import OnHoliday
from callrec_pbx.policy import values
from callrec_pbx.policy.document import CRITERIA

KINDS = ("tenant", "site", "department")


def to_document(text: PolicyText) -> dict[str, Any]:
    """The policy as a document: what says nothing is left out, the order is always the same."""
    document: dict[str, Any] = {}
    if text.excluded_numbers:
        document["excluded_numbers"] = list(text.excluded_numbers)
    for kind in KINDS:
        places = [_place(place) for place in text.places if place.kind == kind]
        if places:
            document[kind] = places
    if text.holidays:
        document["holiday"] = [_holiday(holiday) for holiday in text.holidays]
    if text.rules:
        document["rule"] = [_rule(rule) for rule in text.rules]
    return document


def to_json(text: PolicyText) -> dict[str, Any]:
    """The same with nothing in it that JSON does not have."""
    document: dict[str, Any] = json.loads(json.dumps(to_document(text), default=_time_text))
    return document


def _time_text(value: date | datetime) -> str:
    return value.isoformat()


def _settings(settings: Settings) -> dict[str, Any]:
    return {name: value for name in names() if (value := getattr(settings, name)) is not None}


def _place(place: Place) -> dict[str, Any]:
    if place.kind == "tenant":
        named = {"name": place.tenant}
    else:
        named = {"name": place.name, "tenant": place.tenant}
    return {key: value for key, value in named.items() if value} | _settings(place.settings)


def _holiday(holiday: Holiday) -> dict[str, Any]:
    found: dict[str, Any] = {"date": holiday.day}
    if holiday.name:
        found["name"] = holiday.name
    if holiday.tenant:
        found["tenant"] = holiday.tenant
    if holiday.sites:
        found["sites"] = _one_or_many(holiday.sites)
    return found


def _rule(rule: Rule) -> dict[str, Any]:
    found: dict[str, Any] = {"name": rule.name}
    if not rule.enabled:
        found["enabled"] = False
    if rule.valid_from is not None:
        found["valid_from"] = rule.valid_from
    if rule.valid_to is not None:
        found["valid_to"] = rule.valid_to
    for name in CRITERIA:
        if criterion := getattr(rule, name):
            found[name] = _one_or_many(criterion)
    found["mode"] = rule.mode
    found |= _settings(rule.settings)
    if rule.when:
        found["when"] = [window_document(window) for window in rule.when]
    return found


def window_document(window: Window) -> dict[str, Any]:
    """A window of the week as it is written."""
    found: dict[str, Any] = {}
    if not values.is_every_day(window.days):
        found["days"] = _one_or_many(tuple(values.days_text(window.days)))
    if window.from_minute:
        found["from"] = values.minute_text(window.from_minute)
    if window.to_minute != MINUTES_A_DAY:
        found["to"] = values.minute_text(window.to_minute)
    if window.holidays is not OnHoliday.CLOSED:
        found["holidays"] = window.holidays
    return found


def _one_or_many(several: tuple[str, ...]) -> str | list[str]:
    return several[0] if len(several) == 1 else list(several)
