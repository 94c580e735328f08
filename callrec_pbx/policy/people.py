"""Changing people and places, and with them the policy that names them.

Whoever changes people and places uses this, and not `callrec_pbx.people` itself: there, what is to
follow has to be handed in.
"""

from functools import partial

from callrec_pbx.people import changes, importing
from callrec_pbx.policy.following import PolicyFollowing

__all__ = ["changing", "import_table"]

changing = partial(changes.changing, follow=PolicyFollowing)
import_table = partial(importing.import_table, follow=PolicyFollowing)
