"""Which calls are recorded, how, and why: hard stops, then an ordered list of rules."""

from callrec_pbx.domain.policy.deciding import Policy
from callrec_pbx.domain.policy.question import CallInQuestion
from callrec_pbx.domain.policy.rules import Holiday, Place, PolicyText, Rule, Window
from callrec_pbx.domain.policy.settings import Settings

__all__ = [
    "CallInQuestion",
    "Holiday",
    "Place",
    "Policy",
    "PolicyText",
    "Rule",
    "Settings",
    "Window",
]
