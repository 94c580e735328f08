"""One run of retention: alone, in batches, what is due first and then what it leaves behind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

from callrec_pbx import metrics
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.holds import bring_up_to_date
from callrec_pbx.config import Config
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.plans import UNLIMITED, Plan, parse
from callrec_pbx.domain.policy.settings import Filled
from callrec_pbx.domain.words import OnQuota
from callrec_pbx.policy.load import defaults_of
from callrec_pbx.retention import gather, plan
from callrec_pbx.retention.apply import Pruner, Told, has_unread_audio
from callrec_pbx.retention.current import Current
from callrec_pbx.retention.deletion import delete_discarded
from callrec_pbx.retention.gather import Candidate
from callrec_pbx.retention.history import clear_histories
from callrec_pbx.retention.leader import Check, alone
from callrec_pbx.retention.outcome import Applied, Done, Outcome, of_call, of_recording
from callrec_pbx.retention.plan import Due, Judge, Reason, kept_bytes
from callrec_pbx.retention.quota import Usage, has_quota, usages
from callrec_pbx.storage.mounted import check_mounted

DELETIONS_S = 600.0
"""Between looks of a long run for what somebody has asked to be deleted meanwhile."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long what is kept.

    Attributes:
        call_days: Days until the personal data of calls without a kept recording is cleared; None
            keeps it.
        history: How long the histories of people and profiles are kept.
        defaults: What the configuration says of recordings where nothing else does; None: the
            date of a recording alone counts, and the policy is not asked.
    """

    call_days: int | None = None
    history: Plan = field(default_factory=Plan)
    defaults: Filled | None = None


def terms_of(config: Config) -> Terms:
    """The terms that the configuration has."""
    section = config.retention
    return Terms(section.call_days, parse(section.history), defaults_of(config))


def run(
    place: Place,
    terms: Terms,
    *,
    by: str = "retention",
    now: datetime | None = None,
    only_deletions: bool = False,
    planned: Callable[[int], None] = lambda _count: None,
    told: Told = lambda _done: None,
) -> Applied:
    """Delete what is due, unless another run is at work.

    Args:
        place: The catalogue, audio and sidecars.
        terms: How long what is kept.
        by: Who or what deletes, for the tombstones.
        now: The time to judge by; None takes the present.
        only_deletions: Only what somebody has asked for, and what was begun.
        planned: Told how many recordings may be due, before the first is touched.
        told: Told what has become of each item.

    Raises:
        RetentionBusyError: another run is at work.
        RetentionLostError: the lock is lost, and another run may have begun.
        PolicyFileError: the policy cannot be read, and so not how long anything is kept.
        OSError: the recordings directory is not there, not mounted, or not writable.
    """
    now = now or datetime.now(UTC)
    current = _current(place, terms, only_deletions=only_deletions)
    pruner = Pruner(place, now, by, current, told)
    with alone(place) as check:
        this = _Run(place, terms, pruner, current, check, now)
        planned(gather.count_due(place.engine, now, only_deletions=only_deletions))
        bring_up_to_date(place)
        delete_discarded(place.store)
        for found in gather.due_batches(place.engine, now, only_deletions=only_deletions):
            this.prune(found)
        if not only_deletions:
            this.make_room()
            this.clear_calls()
            pruner.applied.histories = _clear_histories(place, terms, now)
            metrics.retention_ran()
    return pruner.applied


def _current(place: Place, terms: Terms, *, only_deletions: bool) -> Current | None:
    if terms.defaults is None or only_deletions:
        return None
    current = Current(place.engine, terms.defaults)
    current.refresh()
    return current


@dataclass(slots=True)
class _Run:
    """One run while it is alone."""

    place: Place
    terms: Terms
    pruner: Pruner
    current: Current | None
    check: Check
    now: datetime
    asked_at: float = field(default_factory=monotonic)

    def prune(self, found: list[Candidate], judge: Judge | None = None) -> None:
        """A batch of recordings, and those of their calls of which nothing is kept then."""
        self._prune(found, judge)
        self._see_to_deletions()

    def _prune(self, found: list[Candidate], judge: Judge | None = None) -> None:
        self.check()
        if self.current is not None:
            self.current.refresh()
        self.pruner.prune(found, judge)
        ids = {one.recording.call_id for one in found}
        self.pruner.clear_of(gather.standings(self.place.engine, ids), self.terms.call_days)

    def _see_to_deletions(self) -> None:
        """A long run keeps others out: it sees to what somebody asks for meanwhile."""
        if monotonic() - self.asked_at < DELETIONS_S:
            return
        self.asked_at = monotonic()
        now = datetime.now(UTC)
        for found in gather.due_batches(self.place.engine, now, only_deletions=True):
            self._prune(found, lambda facts: plan.due(facts, now))

    def make_room(self) -> None:
        """Prune the oldest of tenants that take more than their quota and chose so."""
        if not has_quota(self.place.engine):
            return
        for usage in usages(self.place.engine):
            if usage.on_quota is OnQuota.PRUNE:
                for found in over_quota(self.place, usage, self.now):
                    self.prune(found, judge_of(usage, self.now))

    def clear_calls(self) -> None:
        """Calls that nothing leads to: without a recording, or left by a run that was cut off."""
        for found in gather.call_batches(self.place.engine, self.now, self.terms.call_days):
            self.check()
            self.pruner.clear_of(found, self.terms.call_days)
            self._see_to_deletions()


def over_quota(place: Place, usage: Usage, now: datetime) -> Iterator[list[Candidate]]:
    """The oldest recordings of a tenant, in batches, until there is room again.

    What is so young that it is spared makes no room and is passed over. What is held stays, and
    does not count: else the rest would go for it, down to the last day.
    """
    over, judge = usage.over, judge_of(usage, now)
    if not over:
        return
    for found in gather.oldest_batches(place.engine, usage.tenant):
        chosen = []
        for one in found:
            if over <= 0:
                break
            if judge(one.recording) is None:
                continue
            if not _held(place, one):
                chosen.append(one)
            over -= kept_bytes(one.recording)
        if chosen:
            yield chosen
        if over <= 0:
            return


def judge_of(usage: Usage, now: datetime) -> Judge:
    """Says what goes to make room for a tenant."""
    why = f"the recordings of tenant {usage.tenant} take {usage}; the oldest go first"
    return lambda facts: plan.over_quota(facts, now, why)


def _held(place: Place, found: Candidate) -> str:
    return place.store.holds.reason(found.recording, found.call)


def _clear_histories(place: Place, terms: Terms, now: datetime) -> int:
    before = terms.history.before(now)
    return 0 if before is None else clear_histories(place.engine, before)


def foresee(place: Place, terms: Terms, now: datetime | None = None) -> Iterator[Done]:
    """Say what a run would do now, item by item; nothing is changed.

    Raises:
        SpoolError: something may be due, and the recordings directory is not mounted.
    """
    now = now or datetime.now(UTC)
    current = _current(place, terms, only_deletions=False)
    freed: dict[str, int] = {}
    seen: set[str] = set()
    for found in gather.due_batches(place.engine, now):
        check_mounted(place.store.directory)
        for one in found:
            done = _foreseen(place, one, current, plan.due(one.recording, now))
            # What is due by its date and asked for besides is found twice.
            asked = one.recording.deletion_at is not None
            if done is None or (asked and one.recording.recording_id in seen):
                continue
            if asked:
                seen.add(one.recording.recording_id)
            if done.outcome is Outcome.PRUNED:
                tenant = one.recording.tenant
                freed[tenant] = freed.get(tenant, 0) + kept_bytes(one.recording)
            yield done
    yield from _foreseen_room(place, freed, now)
    yield from _foreseen_calls(place, terms, current, now)


def _foreseen(
    place: Place, found: Candidate, current: Current | None, due: Due | None
) -> Done | None:
    if due is None:
        return None
    facts = found.recording
    if held := _held(place, found):
        return of_recording(facts, Outcome.HELD, held, due.reason)
    if due.reason is Reason.RETENTION and current is not None:
        now_has = current.plan_of(facts, found.call.queue)
        if now_has is not None and now_has.value == UNLIMITED:
            why = f"its plan has no limit now ({now_has.origin})"
            return of_recording(facts, Outcome.KEPT, why)
    return of_recording(facts, Outcome.PRUNED, due.why, due.reason, kept_bytes(facts))


def _foreseen_room(place: Place, freed: dict[str, int], now: datetime) -> Iterator[Done]:
    if not has_quota(place.engine):
        return
    for usage in usages(place.engine):
        if usage.on_quota is not OnQuota.PRUNE:
            continue
        left = Usage(
            usage.tenant,
            usage.recordings,
            usage.used - freed.get(usage.tenant, 0),
            usage.quota,
            usage.on_quota,
        )
        judge = judge_of(left, now)
        for found in over_quota(place, left, now):
            for one in found:
                if plan.due(one.recording, now) is None:
                    done = _foreseen(place, one, None, judge(one.recording))
                    if done is not None:
                        yield done


def _foreseen_calls(
    place: Place, terms: Terms, current: Current | None, now: datetime
) -> Iterator[Done]:
    batches = gather.call_batches(place.engine, now, terms.call_days, foresee=True)
    for standings in batches:
        check_mounted(place.store.directory)
        for standing in standings:
            call = standing.call

            def goes(recording: RecordingFacts, of: plan.CallStanding = standing) -> bool:
                found = Candidate(recording, of.call)
                done = _foreseen(place, found, current, plan.due(recording, now))
                return done is not None and done.outcome is Outcome.PRUNED

            item = plan.clearing(standing, goes, now, terms.call_days)
            if item is None:
                continue
            if any(has_unread_audio(place.store, one) for one in item.recordings):
                continue
            if held := place.store.holds.call_reason(call):
                yield of_call(call, Outcome.HELD, held)
            else:
                yield of_call(call, Outcome.CLEARED, item.why, len(item.recordings))
