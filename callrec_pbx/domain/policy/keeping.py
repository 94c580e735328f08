"""How long a recording is kept: the first of rule, user, queue and places that says it."""

from collections.abc import Iterator
from dataclasses import dataclass

from callrec_pbx.domain.facts import Inherited, RecordingFacts
from callrec_pbx.domain.people import Belonging
from callrec_pbx.domain.policy.deciding import Policy
from callrec_pbx.domain.policy.rules import Rule

BEFORE_PLANS = "retention_days"
"""What the setting was called in explanations of an earlier version."""


@dataclass(frozen=True, slots=True)
class Plans:
    """Says which plan recordings that are there already have by a policy.

    Whatever gave a recording its plan may be gone or have another name by now. Nobody has said
    then how long it is to be kept, so its plan stays.
    """

    policy: Policy
    rules: dict[str, Rule]

    @classmethod
    def of(cls, policy: Policy) -> "Plans":
        """Those of a policy."""
        return cls(policy, {rule.name: rule for rule in policy.text.rules})

    def plan_of(self, recording: RecordingFacts, queue: str) -> Inherited | None:
        """The plan, and what has it; None: what gave it its plan is gone.

        Args:
            queue: The queue of its call.
        """
        belonging = self._belonging(recording, queue)
        if self._is_gone(origin_of(recording), recording, belonging):
            return None
        rule = self.rules.get(recording.rule)
        return self.policy.retention(rule, belonging, recording.department, recording.site)

    def _belonging(self, recording: RecordingFacts, queue: str) -> Belonging:
        people = self.policy.people
        tenant = people.tenants.get(recording.tenant)
        if tenant is None:
            tenant = people.belonging(recording.line, "", "", endpoint=True).tenant
        if tenant is None:
            return Belonging()
        of_queue = people.queues.get(queue)
        return Belonging(
            tenant=tenant,
            user=people.users.get((tenant.name, recording.owner)),
            queue=of_queue if of_queue and of_queue.tenant == tenant.name else None,
        )

    def _is_gone(self, origin: str, recording: RecordingFacts, belonging: Belonging) -> bool:
        """Whether there is nothing of that name any more."""
        people, tenant = self.policy.people, belonging.tenant
        whose = tenant.name if tenant else ""
        kind, _, name = origin.partition(" ")
        if kind == "rule":
            return name not in self.rules
        if kind == "user":
            return (whose, name) not in people.users
        if kind == "queue":
            return belonging.queue is None or belonging.queue.name != name
        if kind == "department":
            return (whose, name) not in people.departments
        if kind == "site":
            return (whose, name) not in people.sites
        if kind == "tenant":
            return tenant is None
        # Of a recording without an explanation all that is known is its rule.
        return not origin and recording.rule not in self.rules


def origin_of(recording: RecordingFacts) -> str:
    """What gave a recording its plan, such as `department Support`; empty: it is not known."""
    return next((one.origin for one in _settings(recording)), "")


def _settings(recording: RecordingFacts) -> Iterator[Inherited]:
    for one in recording.explanation.settings:
        if one.setting in ("retention", BEFORE_PLANS):
            yield one
