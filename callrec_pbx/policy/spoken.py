"""Whether there are prompts for what a policy has played, in the languages it needs."""

from collections.abc import Collection, Iterable, Iterator

from callrec_pbx.domain.consent import PROMPT_FOR, announcement
from callrec_pbx.domain.facts import PromptBook
from callrec_pbx.domain.people import People
from callrec_pbx.domain.policy.rules import PolicyText, Rule
from callrec_pbx.domain.words import ConsentMode
from callrec_pbx.policy.places import Group
from callrec_pbx.policy.warning import PolicyWarning, Warnings, listed, serious, warning


class PromptCheck:
    """Compares what is to be played with what is installed.

    Args:
        fallback: The language where nothing names one.
    """

    def __init__(self, people: People, prompts: PromptBook, fallback: str) -> None:
        self._people = people
        self._prompts = prompts
        self._fallback = fallback
        self._there = {language for language, _ in prompts.prompts}
        self._of_tenant: dict[str, dict[str, None]] = {}
        for tenant, _, language in _spoken_to(people):
            self._of_tenant.setdefault(tenant, {})[language] = None

    def of_languages(self, text: PolicyText) -> Warnings:
        """Languages that somebody is to be spoken to in, and that there are no prompts in."""
        if not self._there:
            yield serious(
                "prompts_missing",
                "",
                "there are no prompts, so that whatever needs an announcement is not recorded",
                "install them with `callrec-pbx setup asterisk`, or `setup freeswitch`",
            )
            return
        missing: dict[str, list[str]] = {}
        for who, language in (
            *((who, language) for _, who, language in _spoken_to(self._people)),
            *((f"rule {rule.name}", rule.settings.language or "") for rule in text.rules),
        ):
            if language and language not in self._there:
                missing.setdefault(language, []).append(who)
        for language, those in missing.items():
            yield warning(
                "language_missing",
                "",
                f"there are no prompts in language {language} ({listed(those)}); those in "
                f"{self._prompts.fallback} are played instead",
                "import some with `callrec-pbx prompts import`, or give another language",
            )

    def of_rule(self, rule: Rule, groups: Iterable[Group]) -> Warnings:
        """Announcements of a rule that are not there in one of its languages."""
        if not self._there:
            return
        wanted = {
            (group.asked.consent, group.asked.announcement, language)
            for group in groups
            if group.asked.consent is not ConsentMode.NONE
            for language in self._languages(rule, group.tenant)
            if language in self._there
        }
        played: dict[tuple[str, str], list[str]] = {}
        for mode, own, language in sorted(wanted):
            name = own + PROMPT_FOR[mode].removeprefix("announce") if own else PROMPT_FOR[mode]
            found = announcement(self._prompts, mode, own, language)
            if found is None:
                played.setdefault((name, ""), []).append(language)
            elif (found.language, found.name) != (language, name):
                instead = f"{found.language}/{found.name}"
                played.setdefault((name, instead), []).append(language)
        for (name, instead), languages in played.items():
            yield _missing(rule, name, languages, instead)

    def _languages(self, rule: Rule, tenant: str) -> Collection[str]:
        if rule.settings.language:
            return (rule.settings.language,)
        return self._of_tenant.get(tenant) or (self._fallback,)


def _missing(rule: Rule, name: str, languages: Collection[str], instead: str) -> PolicyWarning:
    what = f"there is no announcement {name} in language {listed(languages)}"
    remedy = f"import it with `callrec-pbx prompts import --name {name}`"
    if instead:
        return warning("announcement_missing", rule.name, f"{what}; {instead} is played", remedy)
    return serious(
        "announcement_missing",
        rule.name,
        f"{what}, nor another one, so that nothing is recorded",
        remedy,
    )


def _spoken_to(people: People) -> Iterator[tuple[str, str, str]]:
    """Everything that has a language: its tenant, what it is, and the language."""
    every = [
        *((one.name, f"tenant {one.name}", one.language) for one in people.tenants.values()),
        *((one.tenant, f"site {one.name}", one.language) for one in people.sites.values()),
        *((one.tenant, f"queue {one.name}", one.language) for one in people.queues.values()),
        *((one.tenant, f"DDI {one.number}", one.language) for one in people.ddis.values()),
        *((one.tenant, f"user {one.email}", one.language) for one in people.users.values()),
    ]
    yield from (one for one in every if one[2])
