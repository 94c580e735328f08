"""Checks of the in-call keys."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.doctor.freeswitch import probe as esl
from callrec_pbx.doctor.freeswitch.actions import Action, actions, assigned
from callrec_pbx.doctor.freeswitch.probe import EslProbe
from callrec_pbx.doctor.freeswitch.scripts import COMMON, SETUP, content

REALM = "callrec"
"""Where callrec_common.lua binds them, unless `callrec_realm` names another."""

META = "*"
"""What begins a key of `bind_meta_app` unless `bind_meta_key` says otherwise."""

_KEY = re.compile(r'\{"(\w+)", "([0-9A-D*#]+)"\}')


@dataclass(frozen=True, slots=True)
class Binding:
    """Digits that the dialplan binds to something of its own.

    Attributes:
        realm: That of `bind_digit_action`; empty for `bind_meta_app`.
        digits: As they are pressed; a regular expression after `~`.
    """

    where: str
    application: str
    realm: str
    digits: str


async def check_keys(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:
    """The scripts bind the keys that are configured."""
    folder = await esl.variable(probe, "script_dir")
    common = await content(probe, f"{folder}/{COMMON}")
    if common is None:
        return  # the check of the modules, or of the scripts, says so
    there = dict(_KEY.findall(common))
    wanted = _wanted(config)
    wrong = [
        f"{name} is {there.get(name, 'missing')}"
        for name in wanted
        if there.get(name) != wanted[name]
    ]
    if wrong:
        yield fail("keys", f"in {COMMON} {', '.join(wrong)}", SETUP)
        return
    if not await esl.knows(probe, "luarun"):
        yield fail("keys", "FreeSWITCH does not know luarun, which keys run", "load mod_lua")
        return
    yield ok("keys", "bound by the scripts: " + ", ".join(f"{n} {k}" for n, k in wanted.items()))


async def check_key_clash(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:
    """The dialplan binds nothing that gets into their way."""
    there = await actions(probe)
    realms = {
        value for action in there for name, value in assigned(action) if name == "callrec_realm"
    } or {REALM}
    found = False
    for binding in dict.fromkeys(_bindings(there)):
        if binding.realm and binding.realm not in realms:
            found = True
            yield warn(
                "key_clash",
                f"{binding.where} binds digits in realm {binding.realm}: on a leg that has in-call "
                "keys too, only those that were bound last work",
                f"set callrec_realm={binding.realm} on that leg before callrec_offer.lua, so that "
                "both are in one realm",
            )
            continue
        for name, key in _wanted(config).items():
            if _clash(binding, key):
                found = True
                yield warn(
                    "key_clash",
                    f"{binding.where} binds {binding.digits} ({binding.application}), which "
                    f"gets into the way of the key {key} ({name})",
                    f"choose other digits there, or change keys.{name} in {config.path} and "
                    f"{SETUP}",
                )
    if not found:
        yield ok("key_clash", "nothing in the dialplan gets into the way of an in-call key")


def _wanted(config: Config) -> dict[str, str]:
    keys = config.keys
    return {"pause": keys.pause, "start": keys.start, "discard": keys.discard}


def _bindings(there: list[Action]) -> Iterator[Binding]:
    metas = {
        value[:1] for action in there for name, value in assigned(action) if name == "bind_meta_key"
    } or {META}
    for action in there:
        if action.application == "bind_digit_action":
            realm, _, rest = action.data.partition(",")
            yield Binding(str(action), action.application, realm, rest.partition(",")[0])
        elif action.application == "bind_meta_app":
            digit = action.data.partition(" ")[0]
            for meta in sorted(metas):
                yield Binding(str(action), action.application, "", meta + digit)


def _clash(binding: Binding, key: str) -> bool:
    """Whether one of the two is taken for the other, or waits for it.

    Source: FreeSWITCH 1.11.1, switch_ivr_async.c: switch_ivr_dmachine_check_match waits while more
    digits may follow, and meta_on_dtmf keeps the first digit of all its keys to itself.
    """
    if not binding.realm:
        return key.startswith(binding.digits[:1])
    if binding.digits.startswith(("~", "=~")):
        return _may_match(binding.digits.partition("~")[2], key)
    digits = binding.digits.removeprefix("=")
    return digits.startswith(key) or key.startswith(digits)


def _may_match(pattern: str, key: str) -> bool:
    try:
        return re.search(pattern, key) is not None
    except re.error:
        return False
