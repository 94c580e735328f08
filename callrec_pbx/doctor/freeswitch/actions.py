"""The dialplan as FreeSWITCH has read it: what is done, and with which arguments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from callrec_pbx.doctor.freeswitch import probe as esl
from callrec_pbx.doctor.freeswitch.probe import EslProbe

SETTERS = ("set", "export", "multiset", "bridge_export", "set_global")
DIALLED = "destination_number"
FILLED_BY_CALLERS = (
    DIALLED,
    *("ani", "callee_id", "caller_", "chan_name", "channel_name", "effective_", "rdnis", "sip_"),
    *("origination_", "presence_id", "username"),
)
"""How names of variables begin that hold what the other side has sent."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_GROUP = re.compile(r"\$(\d)")
_OF_CLASS = r"\\d|\d-\d|[a-z]-[a-z]|[A-Z]-[A-Z]|[0-9A-Za-z_*#+.]|-(?=\])"
_HARMLESS = re.compile(rf"(?:\\[dw+*.#]|\[(?:{_OF_CLASS})+\]|[0-9A-Za-z_+*?{{}},|():-])*")
"""An expression that nothing but letters, digits and `_ + * # . : -` is like."""


@dataclass(frozen=True, slots=True)
class Action:
    """One line of an extension.

    Attributes:
        field: What its condition looks at.
        expression: What that must be like; empty where there are several, or none.
    """

    context: str
    extension: str
    application: str
    data: str
    field: str = ""
    expression: str = ""

    def __str__(self) -> str:
        return f"extension {self.extension or '(unnamed)'} of context {self.context}"


async def actions(probe: EslProbe) -> list[Action]:
    """Return the actions of FreeSWITCH's own dialplan, as it has read it."""
    found = await esl.tree(probe, "xml_locate dialplan")
    return [] if found is None else list(_actions(found))


def _actions(found: Element) -> Iterator[Action]:
    for context in found.iter("context"):
        for extension in context.iter("extension"):
            for condition in extension.iter("condition"):
                for one in condition:
                    if one.tag not in ("action", "anti-action"):
                        continue
                    yield Action(
                        context.get("name", ""),
                        extension.get("name", ""),
                        one.get("application", ""),
                        (one.get("data") or one.text or "").strip(),
                        condition.get("field", ""),
                        condition.get("expression", ""),
                    )


def assigned(action: Action) -> Iterator[tuple[str, str]]:
    """What an action sets: variables and values."""
    if action.application not in SETTERS:
        return
    data = action.data.removeprefix("nolocal:")
    parts = [data]
    if action.application == "multiset":
        separator = " "
        if data.startswith("^^"):
            separator, data = data[2:3], data[3:]
        parts = data.split(separator)
    for part in parts:
        name, equals, value = part.partition("=")
        if equals:
            yield name.strip(), value.strip()


def open_arguments(action: Action) -> Iterator[str]:
    """What of an action's arguments a caller can fill with any characters."""
    for name in _VARIABLE.findall(action.data):
        if name.startswith(FILLED_BY_CALLERS) and not _is_harmless(action, name):
            yield f"${{{name}}}"
    for number in _GROUP.findall(action.data):
        if not _HARMLESS.fullmatch(_group(action.expression, int(number))):
            yield f"${number} of {action.expression}"


def _is_harmless(action: Action, name: str) -> bool:
    """Whether the action is only reached when that variable has no dangerous characters."""
    begins, ends = action.expression.startswith("^"), action.expression.endswith("$")
    if name != action.field or not (begins and ends):
        return False
    return _HARMLESS.fullmatch(action.expression[1:-1]) is not None


def _group(expression: str, number: int) -> str:
    """The text of a group of an expression; all of it for 0, or what cannot be told."""
    opened: list[int] = []
    count = 0
    at = 0
    while at < len(expression):
        if expression[at] == "\\":
            at += 1
        elif expression[at] == "(":
            counts = expression[at + 1 : at + 2] != "?"
            count += counts
            opened.append(at if counts and count == number else -1)
        elif expression[at] == ")" and opened:
            begin = opened.pop()
            if begin >= 0:
                return expression[begin + 1 : at]
        at += 1
    return expression or "."
