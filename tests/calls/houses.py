"""Which PBX the scenarios run against: the environment's `CALLREC_TEST_PBX`."""

import os

from tests.bed.pbx_config import PbxOptions
from tests.calls.on_asterisk import AsteriskHouse
from tests.calls.on_freeswitch import FreeSwitchHouse
from tests.calls.pbx import House

VARIABLE = "CALLREC_TEST_PBX"

ASTERISK, FREESWITCH = "asterisk", "freeswitch"

PBX = os.environ.get(VARIABLE, ASTERISK)
"""Its name."""

if PBX not in (ASTERISK, FREESWITCH):
    raise ValueError(f"{VARIABLE} is {PBX!r}: use {ASTERISK} or {FREESWITCH}")


KIND: type[AsteriskHouse | FreeSwitchHouse]
KIND = AsteriskHouse if PBX == ASTERISK else FreeSwitchHouse

TRAITS = KIND.traits
"""Where it differs from others."""


def new_house(options: PbxOptions | None = None) -> House:
    """A PBX with a far end, neither prepared nor started; it calls us unless told not to."""
    return KIND(options)
