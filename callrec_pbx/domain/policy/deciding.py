"""The decision: hard stops first, then the first rule that matches, and why."""

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, replace

from callrec_pbx.domain.facts import Decision, Explanation, Inherited, Step
from callrec_pbx.domain.people import Belonging, People, Tenant
from callrec_pbx.domain.policy.asking import Asking, announced, asked_by, asking, stricter
from callrec_pbx.domain.policy.index import CompiledRule, RuleIndex
from callrec_pbx.domain.policy.numbers import AsGiven, NumberList, Numbers, readings
from callrec_pbx.domain.policy.question import CallInQuestion, Looked, look
from callrec_pbx.domain.policy.rules import OPEN, PolicyText, Rule
from callrec_pbx.domain.policy.schedule import Calendar, PublicHolidays
from callrec_pbx.domain.policy.settings import (
    BUILT_IN,
    SUPPRESS,
    Filled,
    Level,
    resolve,
)
from callrec_pbx.domain.words import (
    ConsentMode,
    Direction,
    Mode,
    OnQuota,
    Outcome,
    Switch,
    Tried,
)

WHOEVER = "strictest of the rules that may match"

Reading = Callable[[str, str, str], tuple[str, ...]]

STEPS_KEPT = 40
"""Steps of a decision that are stored with it; what is left out is counted."""

LAST = ("quota", "limit")
"""Steps that come after the rules."""


@dataclass(frozen=True, slots=True)
class Found:
    """A rule that decides, or may."""

    compiled: CompiledRule
    settings: Filled
    inherited: tuple[Inherited, ...]
    consent: ConsentMode
    consent_origin: str


class Policy:
    """Rules, settings, excluded numbers and people of one version, ready to decide.

    Args:
        version: What decisions name.
        text: What the administrator wrote.
        people: Who and where lines, queues and numbers belong to.
        numbers: Reads numbers in any spelling.
        public_holidays: Days by the codes that tenants and sites name.
        defaults: What counts where no level says anything.
        like: A policy whose numbers and rules are taken over where they are the same, as reading
            many numbers takes seconds.
    """

    def __init__(
        self,
        version: str,
        text: PolicyText | None = None,
        *,
        people: People | None = None,
        numbers: Numbers | None = None,
        public_holidays: PublicHolidays | None = None,
        defaults: Filled = BUILT_IN,
        like: "Policy | None" = None,
    ) -> None:
        self.version = version
        self.text = text or PolicyText()
        self.people = people or People()
        self._numbers = numbers or AsGiven()
        self._defaults = defaults
        self._calendar = Calendar(public_holidays or {}, self.text.holidays)
        self._home = self._countries()
        self._excluded: NumberList
        self._index: RuleIndex
        alike = like is not None and like._home == self._home  # noqa: SLF001 - of this class
        if like is not None and alike and like.text.excluded_numbers == self.text.excluded_numbers:
            self._excluded = like._excluded  # noqa: SLF001
        else:
            self._excluded = NumberList(self._read(self.text.excluded_numbers))
        if like is not None and alike and like.text.rules == self.text.rules:
            self._index = like._index  # noqa: SLF001
        else:
            self._index = RuleIndex(self.text.rules, self._read)
        self._places = {
            (place.kind, place.tenant, place.name): place.settings for place in self.text.places
        }
        self._resolved: dict[tuple[object, ...], Found] = {}
        self._strictest: dict[tuple[Asking, str, Direction | None], ConsentMode] = {}
        self._taken_at: dict[str, tuple[Belonging, ...]] = {}

    def _read(self, patterns: Iterable[str]) -> set[str]:
        """Patterns of numbers as each of the tenants' and sites' countries reads them."""
        return readings(patterns, self._home, self._numbers)

    def _countries(self) -> tuple[str, ...]:
        countries = [tenant.country for tenant in self.people.tenants.values()]
        countries += [site.country for site in self.people.sites.values()]
        return tuple(dict.fromkeys(country for country in countries if country))

    def decide(self, call: CallInQuestion, *, every: bool = False) -> Decision:
        """Say whether and how to record.

        Args:
            every: Try every rule up to the one that matches, also those that the index passes
                over; the decision is the same, its explanation complete.
        """
        belonging = self.people.belonging(call.line, call.ddi, call.queue, endpoint=call.endpoint)
        steps: list[Step] = []
        decision = self._stopped(call, belonging, steps)
        if decision is None:
            profile = self.people.profile_of(belonging.user) if belonging.user else None
            name = profile.name if profile else ""
            numbers = self._read_by(self._numbers.likely, call, belonging)
            anywhere = self._anywhere(belonging) if call.line is None else ()
            looked = look(call, belonging, name, numbers, anywhere)
            decision = self._by_rules(call, looked, steps, every=every)
        explanation = replace(decision.explanation, steps=tuple(steps if every else _cut(steps)))
        return replace(
            decision,
            policy_version=self.version,
            tenant=belonging.tenant.name if belonging.tenant else "",
            site=belonging.site.name if belonging.site else "",
            department=belonging.department,
            user=belonging.user.email if belonging.user else "",
            explanation=explanation,
        )

    def is_off_now(self, decision: Decision, line: str) -> bool:
        """Whether a recording of that line, which this decision began, must stop at once."""
        if not self.people.tenants:
            return False
        tenant = self.tenant_of(decision, line)
        # Of a tenant that is not to be found nobody has said that it is off.
        concerned = self.people.tenants.values() if tenant is None else (tenant,)
        return all(one.recording is Switch.OFF_NOW for one in concerned)

    def with_profile(self, tenant: str, email: str, profile: str) -> "Policy":
        """The same policy after a user has switched; this one goes on for calls under way."""
        switched = copy(self)
        switched.people = self.people.switched(tenant, email, profile)
        return switched

    def tenant_of(self, decision: Decision, line: str) -> Tenant | None:
        """Whose a recording is by now; the tenant may have another name than when it began."""
        known = self.people.tenants.get(decision.tenant)
        return known or self.people.belonging(line, "", "", endpoint=True).tenant

    def _read_by(self, read: Reading, call: CallInQuestion, belonging: Belonging) -> set[str]:
        """The outside numbers as they are read where the call belongs, or may belong."""
        places = self._anywhere(belonging) if call.line is None else (belonging,)
        found: set[str] = set()
        for country, prefix in dict.fromkeys(_dialling(place) for place in places):
            for number in call.numbers:
                if number:
                    found.update(read(number, country, prefix))
        return found

    def _anywhere(self, belonging: Belonging) -> tuple[Belonging, ...]:
        """Where a call may be taken that nobody has taken yet: at no site, or any of the tenant."""
        tenant = belonging.tenant
        name = tenant.name if tenant else ""
        known = self._taken_at.get(name)
        if known is None:
            sites = [site for (whose, _), site in self.people.sites.items() if whose == name]
            known = tuple(Belonging(tenant=tenant, site=site) for site in (None, *sites))
            self._taken_at[name] = known
        return known

    def _stopped(
        self, call: CallInQuestion, belonging: Belonging, steps: list[Step]
    ) -> Decision | None:
        """What stands above the rules."""
        tenant, user = belonging.tenant, belonging.user
        if tenant is None and self.people.tenants:
            steps.append(Step("tenant", Tried.STOPPED, "line, queue and DDI belong to no tenant"))
            return Decision(Outcome.NOT_SELECTED, "tenant_unknown")
        if tenant is not None and tenant.recording is not Switch.ON:
            steps.append(Step("tenant", Tried.STOPPED, f"{tenant.name}: all recording is off"))
            return Decision(Outcome.NOT_SELECTED, "recording_off")
        if tenant is not None:
            steps.append(Step("tenant", Tried.PASSED, f"{tenant.name}: recording is on"))
        numbers = self._read_by(self._numbers.spellings, call, belonging)
        if self._excluded.find(numbers) is not None:
            steps.append(Step("excluded", Tried.STOPPED, "an outside number is excluded"))
            return Decision(Outcome.EXCLUDED, "excluded_number")
        steps.append(Step("excluded", Tried.PASSED, "no outside number is excluded"))
        if call.declined:
            steps.append(Step("consent", Tried.STOPPED, call.declined))
            return Decision(Outcome.DECLINED, call.declined)
        steps.append(Step("consent", Tried.PASSED, "nobody has refused"))
        if tenant is not None and tenant.user_switch:
            if call.line is None:
                steps.append(Step("user", Tried.POSSIBLE, "it is not known yet who answers"))
            elif user is None or not user.recording:
                who = user.email if user else "the line has no user"
                steps.append(Step("user", Tried.STOPPED, f"recording is not switched on: {who}"))
                return Decision(Outcome.NOT_SELECTED, "user_off")
            else:
                steps.append(Step("user", Tried.PASSED, f"switched on for {user.email}"))
        return self._stopped_by_profile(call, belonging, steps)

    def _stopped_by_profile(
        self, call: CallInQuestion, belonging: Belonging, steps: list[Step]
    ) -> Decision | None:
        user = belonging.user
        profile = self.people.profile_of(user) if user else None
        if profile is None:
            return None
        direct = not call.queue if call.direct is None else call.direct
        if direct and not profile.record_direct:
            detail = f"{profile.name}: direct calls are not recorded"
            steps.append(Step("profile", Tried.STOPPED, detail))
            return Decision(Outcome.NOT_SELECTED, "profile")
        steps.append(Step("profile", Tried.PASSED, profile.name))
        return None

    def _by_rules(
        self, call: CallInQuestion, looked: Looked, steps: list[Step], *, every: bool
    ) -> Decision:
        found = self._matching(looked, steps, every=every)
        if found is None:
            steps.append(Step("rule", Tried.NO_MATCH, "no rule matches"))
            return Decision(Outcome.NOT_SELECTED, "no_rule")
        decision = self._decision(found, looked)
        return self._limited(call, looked.belonging, decision, steps)

    def _matching(self, looked: Looked, steps: list[Step], *, every: bool) -> Found | None:
        """The first rule that matches or, while something is not known yet, may.

        Its consent is then that of the strictest of those that may. A rule that would not
        record cannot keep others from asking until its line is known to be the one.
        """
        first: CompiledRule | None = None
        strictest = ConsentMode.NONE
        index = self._index
        rules: Iterable[CompiledRule] = index.rules if every else index.candidates(looked)
        for compiled in rules:
            rule = compiled.rule
            misfit = compiled.misfit(looked, self._calendar)
            if misfit:
                steps.append(Step("rule", Tried.NO_MATCH, f"{rule.name}: {misfit}"))
                continue
            certain = compiled.is_certain(looked, self._calendar)
            steps.append(Step("rule", Tried.MATCHED if certain else Tried.POSSIBLE, rule.name))
            if rule.mode is not Mode.NEVER or (certain and first is None):
                first = first or compiled
                if looked.open and rule.mode is not Mode.NEVER:
                    strictest = stricter(strictest, self._most(compiled, looked))
            # Nothing that comes after it can change anything.
            if certain or (strictest is ConsentMode.OPT_IN and not every):
                break
        if first is None:
            return None
        found = self._resolve(first, looked)
        if stricter(found.consent, strictest) is not found.consent:
            # Nobody knows yet whose rule will count: ask as the strictest of them does.
            found = replace(found, consent=strictest, consent_origin=WHOEVER)
        return found

    def _most(self, compiled: CompiledRule, looked: Looked) -> ConsentMode:
        """The most that a rule may come to ask for, as far as is known."""
        if looked.unknown:
            return self._consent_anywhere(compiled.rule, looked)
        return self._resolve(compiled, looked).consent

    def _resolve(self, compiled: CompiledRule, looked: Looked) -> Found:
        """The settings of a rule at a place, and what consent comes to in that direction."""
        belonging = looked.belonging
        tenant = belonging.tenant.name if belonging.tenant else ""
        site = belonging.site.name if belonging.site else ""
        department = belonging.department
        key = (compiled.position, tenant, site, department, looked.direction)
        found = self._resolved.get(key)
        if found is not None:
            return found
        levels = [Level(f"rule {compiled.rule.name}", compiled.rule.settings)]
        for kind, name in (("department", department), ("site", site)):
            settings = self._places.get((kind, tenant, name)) if name else None
            if settings is not None:
                levels.append(Level(f"{kind} {name}", settings))
        settings = self._places.get(("tenant", tenant, ""))
        if settings is not None:
            levels.append(Level(f"tenant {tenant}", settings))
        filled, inherited = resolve(tuple(levels), self._defaults)
        consent, origin = announced(filled, looked.direction)
        found = Found(compiled, filled, inherited, consent, origin)
        self._resolved[key] = found
        return found

    def _consent_anywhere(self, rule: Rule, looked: Looked) -> ConsentMode:
        """The most that a rule asks for, whichever department and site answers."""
        tenant = looked.belonging.tenant.name if looked.belonging.tenant else ""
        asked = asking(rule.settings, looked.direction)
        key = (asked, tenant, looked.direction)
        known = self._strictest.get(key)
        if known is not None:
            return known
        own = asking(self._places.get(("tenant", tenant, ""), OPEN), looked.direction)
        built_in = asking(self._defaults, looked.direction)
        strictest = ConsentMode.NONE
        for department in self._kinds(tenant, "department", looked.direction):
            for site in self._kinds(tenant, "site", looked.direction):
                mode = asked_by((asked, department, site, own, built_in))
                strictest = stricter(strictest, mode)
        self._strictest[key] = strictest
        return strictest

    def _kinds(self, tenant: str, kind: str, direction: Direction | None) -> set[Asking]:
        """The different things that places of a kind say about asking; one may be nowhere."""
        return {asking(OPEN, direction)} | {
            asking(place.settings, direction)
            for place in self.text.places
            if (place.kind, place.tenant) == (kind, tenant)
        }

    def _decision(self, found: Found, looked: Looked) -> Decision:
        rule, settings = found.compiled.rule, found.settings
        never = rule.mode is Mode.NEVER
        language = self._language(found, looked.belonging)
        retention = self._retention(found, looked.belonging)
        own = {"language": language, "retention": retention}
        inherited = [own.get(item.setting, item) for item in found.inherited]
        if found.consent_origin:
            inherited.append(Inherited("consent", found.consent.value, found.consent_origin))
        return Decision(
            outcome=Outcome.NOT_SELECTED if never else Outcome.RECORDED,
            reason="rule",
            rule=rule.name,
            mode=rule.mode,
            consent=ConsentMode.NONE if never else found.consent,
            on_refusal=settings.on_refusal,
            on_failure=settings.on_failure,
            whisper=settings.whisper and not never,
            notice=settings.notice,
            reminder_s=settings.reminder_s,
            resume_after_s=settings.resume_after_s,
            retention=retention.value,
            format=settings.format,
            keep_wav=settings.keep_wav,
            language=language.value,
            announcement="" if settings.announcement == SUPPRESS else settings.announcement,
            start_stop=settings.start_stop,
            channels=settings.channels,
            voicemail=settings.voicemail and not never,
            explanation=Explanation(settings=() if never else tuple(inherited)),
        )

    def retention(
        self, rule: Rule | None, belonging: Belonging, department: str, site: str
    ) -> Inherited:
        """The plan of a recording: of its rule, user, queue, department, site or tenant."""
        own = own_plan(rule, belonging)
        if own is not None:
            return own
        tenant = belonging.tenant.name if belonging.tenant else ""
        for place in (("department", department), ("site", site), ("tenant", tenant)):
            kind, name = place
            key = (kind, tenant, "" if kind == "tenant" else name)
            settings = self._places.get(key) if name else None
            if settings is not None and settings.retention is not None:
                return Inherited("retention", settings.retention, f"{kind} {name}")
        return Inherited("retention", self._defaults.retention, "built in")

    def _retention(self, found: Found, belonging: Belonging) -> Inherited:
        """The plan of a rule, user or queue, else of the place that has one."""
        of_place = next(item for item in found.inherited if item.setting == "retention")
        return own_plan(found.compiled.rule, belonging) or of_place

    def _language(self, found: Found, belonging: Belonging) -> Inherited:
        """The rule's, else of DDI, queue, user, site and tenant, in that order."""
        if found.compiled.rule.settings.language:
            origin = f"rule {found.compiled.rule.name}"
            return Inherited("language", found.settings.language, origin)
        ddi, queue, user = belonging.ddi, belonging.queue, belonging.user
        site, tenant = belonging.site, belonging.tenant
        known = (
            (ddi.language if ddi else "", f"ddi {ddi.number}" if ddi else ""),
            (queue.language if queue else "", f"queue {queue.name}" if queue else ""),
            (user.language if user else "", f"user {user.email}" if user else ""),
            (site.language if site else "", f"site {site.name}" if site else ""),
            (tenant.language if tenant else "", f"tenant {tenant.name}" if tenant else ""),
        )
        for language, origin in known:
            if language:
                return Inherited("language", language, origin)
        return Inherited("language", self._defaults.language, "built in")

    def _limited(
        self, call: CallInQuestion, belonging: Belonging, decision: Decision, steps: list[Step]
    ) -> Decision:
        """Only what would be recorded can be too much; so the limits are asked last."""
        tenant = belonging.tenant
        limit = tenant.concurrent_limit if tenant else None
        wanted = decision.may_record and (decision.mode is not Mode.ON_DEMAND or call.demanded)
        if tenant is None or not wanted:
            return decision
        if tenant.name in call.full:
            detail = f"{tenant.name}: its recordings take all of {tenant.quota_gb} GB"
            steps.append(Step("quota", Tried.STOPPED, detail))
            return _not_recorded(decision, "quota_full")
        if tenant.quota_gb is not None and tenant.on_quota is OnQuota.STOP:
            detail = f"there is room left of {tenant.quota_gb} GB, as far as is known"
            steps.append(Step("quota", Tried.PASSED, detail))
        if limit is None:
            return decision
        if call.running is None:
            steps.append(Step("limit", Tried.POSSIBLE, f"at most {limit} at the same time"))
            return decision
        running = call.running(tenant.name)
        detail = f"{running} of {limit} recordings run"
        if running < limit:
            steps.append(Step("limit", Tried.PASSED, detail))
            return decision
        steps.append(Step("limit", Tried.STOPPED, detail))
        return _not_recorded(decision, "concurrent_limit")


def own_plan(rule: Rule | None, belonging: Belonging) -> Inherited | None:
    """The retention plan of rule, user or queue; None where none of them has one."""
    user, queue = belonging.user, belonging.queue
    known = (
        ((rule.settings.retention or "") if rule else "", f"rule {rule.name}" if rule else ""),
        (user.retention if user else "", f"user {user.email}" if user else ""),
        (queue.retention if queue else "", f"queue {queue.name}" if queue else ""),
    )
    for plan, origin in known:
        if plan:
            return Inherited("retention", plan, origin)
    return None


def _not_recorded(decision: Decision, reason: str) -> Decision:
    """The decision where it would be too much."""
    return replace(
        decision,
        outcome=Outcome.LIMITED,
        reason=reason,
        consent=ConsentMode.NONE,
        whisper=False,
        voicemail=False,
    )


def _dialling(place: Belonging) -> tuple[str, str]:
    """Country and outside prefix of a place."""
    site, tenant = place.site, place.tenant
    country = (site.country if site else "") or (tenant.country if tenant else "")
    prefix = (site.outside_prefix if site else "") or (tenant.outside_prefix if tenant else "")
    return country, prefix


def _cut(steps: list[Step]) -> list[Step]:
    """The steps that are stored: the last rules tried tell most."""
    if len(steps) <= STEPS_KEPT:
        return steps
    stops = [step for step in steps if step.what != "rule"]
    rules = [step for step in steps if step.what == "rule"]
    kept = STEPS_KEPT - len(stops) - 1
    left_out = Step("rule", Tried.NO_MATCH, f"{len(rules) - kept} rules before these")
    after = [step for step in stops if step.what in LAST]
    before = [step for step in stops if step.what not in LAST]
    return [*before, left_out, *rules[-kept:], *after]
