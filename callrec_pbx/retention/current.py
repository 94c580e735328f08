"""Which plan a recording has by the policy of now, whatever it was given when it was made."""

from dataclasses import dataclass, replace

from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.domain.facts import Inherited, RecordingFacts
from callrec_pbx.domain.plans import parse
from callrec_pbx.domain.policy import Policy
from callrec_pbx.domain.policy.keeping import BEFORE_PLANS, Plans
from callrec_pbx.domain.policy.settings import Filled
from callrec_pbx.people import versions
from callrec_pbx.people.load import load_people
from callrec_pbx.policy import store


@dataclass(slots=True)
class Current:
    """The plans of the newest version of policy and people.

    Args:
        engine: The catalogue.
        defaults: What counts where no level says anything.
    """

    engine: Engine
    defaults: Filled
    _version: int = -1
    _plans: Plans | None = None

    def refresh(self) -> None:
        """Read it again where it has changed.

        Raises:
            PolicyFileError: it cannot be read; nothing may be deleted by it then.
        """
        with reading(self.engine).begin() as connection:
            version = versions.current_version(connection)
            if self._plans is not None and version == self._version:
                return
            text = store.text_alone(connection, version)
            people = load_people(connection)
        policy = Policy(str(version), text, people=people, defaults=self.defaults)
        self._version, self._plans = version, Plans.of(policy)

    def plan_of(self, recording: RecordingFacts, queue: str) -> Inherited | None:
        """The plan, and what has it; None: what gave it its plan is gone, and it stays."""
        if self._plans is None:
            self.refresh()
        return self._plans.plan_of(recording, queue) if self._plans is not None else None


def redated(recording: RecordingFacts, plan: Inherited) -> RecordingFacts:
    """A recording with another plan, and the date that follows from it."""
    explanation = replace(
        recording.explanation,
        settings=(
            *(
                one
                for one in recording.explanation.settings
                if one.setting not in (plan.setting, BEFORE_PLANS)
            ),
            plan,
        ),
    )
    ended = recording.ended_at or recording.created_at
    return replace(
        recording,
        retention=plan.value,
        delete_after=parse(plan.value).after(ended),
        explanation=explanation,
    )
