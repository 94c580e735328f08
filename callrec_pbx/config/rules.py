"""From the rules as written in the file to the domain's policy."""

import hashlib
import json
from dataclasses import asdict

from callrec_pbx.config.model import RuleSection
from callrec_pbx.domain.policy import Policy, Rule
from callrec_pbx.domain.words import ConsentMode

VERSION_LENGTH = 12


def rule_of(section: RuleSection, language: str, default_days: int | None) -> Rule:
    """Build the domain's rule; what the section leaves open comes from the two defaults."""
    return Rule(
        name=section.name,
        mode=section.mode,
        consent=section.consent or ConsentMode.NONE,
        direction=section.direction,
        ddi=section.ddi,
        queue=section.queue,
        line=section.line,
        number=section.number,
        on_refusal=section.on_refusal,
        on_failure=section.on_failure,
        whisper=section.whisper,
        notice=section.notice,
        reminder_s=section.reminder_s,
        resume_after_s=section.resume_after_s,
        retention_days=section.retention_days or default_days,
        language=section.language or language,
    )


def policy_of(rules: tuple[Rule, ...], excluded_numbers: tuple[str, ...]) -> Policy:
    """Build the policy; its version is a hash of what it says, and of nothing else."""
    content = {"excluded_numbers": excluded_numbers, "rules": [asdict(rule) for rule in rules]}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return Policy(digest[:VERSION_LENGTH], rules, excluded_numbers)
