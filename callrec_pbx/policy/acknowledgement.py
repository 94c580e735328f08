"""What a tenant's responsible person acknowledges before recording is switched on."""

import hashlib
import tomllib
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from callrec_pbx.domain.people import People
from callrec_pbx.people.acknowledgement import acknowledgements

DATA = "acknowledgement.toml"

FALLBACK = "en"


class _Texts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    texts: dict[str, str]


@cache
def _texts() -> _Texts:
    data = (files("callrec_pbx.policy") / DATA).read_text(encoding="utf-8")
    return _Texts.model_validate(tomllib.loads(data))


TEXT_VERSION = _texts().version
"""The version of the wording, the same in all languages."""


def languages() -> tuple[str, ...]:
    """The languages that the text is there in."""
    return tuple(_texts().texts)


def language_of(language: str) -> str:
    """The language that the text is shown in: itself, else without its variant, else English."""
    known = _texts().texts
    for code in (language, language.partition("-")[0]):
        if code in known:
            return code
    return FALLBACK


def text(language: str = FALLBACK) -> str:
    """The text, in that language where it is there in it, else in English."""
    return _texts().texts[language_of(language)].strip() + "\n"


def _sha256() -> str:
    digest = hashlib.sha256()
    for code in sorted(languages()):
        digest.update(f"{code}\n{text(code)}".encode())
    return digest.hexdigest()


TEXT_SHA256 = _sha256()
"""The SHA-256 of the wording in all languages, as it is kept with an acknowledgement."""


def acknowledged(connection: Connection, people: People) -> set[str]:
    """Tenants for which somebody has acknowledged the current text."""
    return {
        tenant
        for tenant in people.tenants
        if any(
            (made.text_version, made.text_sha256) == (TEXT_VERSION, TEXT_SHA256)
            for made in acknowledgements(connection, tenant)
        )
    }
