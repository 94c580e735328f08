"""The prompts that the PBX plays, as the domain knows them."""

from pathlib import Path

import structlog

from callrec_pbx.audio.manifest import PromptError, PromptSet
from callrec_pbx.config import Config
from callrec_pbx.domain.facts import PromptBook, PromptFacts
from callrec_pbx.resources import resource_dir

log = structlog.get_logger(__name__)


NEEDED = ("unavailable", "paused", "resumed", "started", "discarded")
"""Prompts that are played whatever the policy says."""


def missing_prompts(directory: Path, language: str) -> int:
    """How many of those that are always needed are not installed there."""
    try:
        found = PromptSet.load(directory)
    except PromptError:
        return len(NEEDED)
    return sum(found.find(name, language) is None for name in NEEDED)


def prompt_book(config: Config) -> PromptBook:
    """The prompts that the PBX plays: those installed there, else those shipped."""
    for directory in (config.sounds_dir, resource_dir("prompts")):
        try:
            found = PromptSet.load(directory)
        except PromptError as error:
            log.warning("prompts_not_read", directory=str(directory), reason=str(error))
            continue
        prompts = {
            (p.language, p.name): PromptFacts(
                p.name, p.language, p.sha256, p.duration_ms, p.version
            )
            for p in found.prompts
        }
        return PromptBook(prompts, config.prompts.language)
    return PromptBook({}, config.prompts.language)
