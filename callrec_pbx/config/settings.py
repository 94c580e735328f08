"""The whole configuration: as read, and as everybody else uses it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from callrec_pbx.config.model import (
    AsteriskSection,
    CatalogueSection,
    FollowUpSection,
    FreeSwitchSection,
    KeysSection,
    LogSection,
    MetricsSection,
    NamesSection,
    OfferSection,
    PromptsSection,
    RecordingsSection,
    RetentionSection,
)

ENV_PREFIX = "CALLREC_"
ENV_SEPARATOR = "__"

PbxKind = Literal["asterisk", "freeswitch"]


class Settings(BaseSettings):
    """The file's content, with the environment's over it."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_SEPARATOR, extra="forbid", frozen=True
    )

    pbx: PbxKind = Field(default="asterisk", description="kind of the PBX")
    asterisk: AsteriskSection = AsteriskSection()
    freeswitch: FreeSwitchSection = FreeSwitchSection()
    recordings: RecordingsSection = RecordingsSection()
    catalogue: CatalogueSection = CatalogueSection()
    prompts: PromptsSection = PromptsSection()
    keys: KeysSection = KeysSection()
    offer: OfferSection = OfferSection()
    retention: RetentionSection = RetentionSection()
    metrics: MetricsSection = MetricsSection()
    follow_up: FollowUpSection = FollowUpSection()
    names: NamesSection = NamesSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, which arrives as arguments."""
        return env_settings, init_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the administrator decided.

    Attributes:
        path: The file it was read from.
    """

    path: Path
    pbx: PbxKind = "asterisk"
    asterisk: AsteriskSection = field(default_factory=AsteriskSection)
    freeswitch: FreeSwitchSection = field(default_factory=FreeSwitchSection)
    recordings: RecordingsSection = field(default_factory=RecordingsSection)
    catalogue: CatalogueSection = field(default_factory=CatalogueSection)
    prompts: PromptsSection = field(default_factory=PromptsSection)
    keys: KeysSection = field(default_factory=KeysSection)
    offer: OfferSection = field(default_factory=OfferSection)
    retention: RetentionSection = field(default_factory=RetentionSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    follow_up: FollowUpSection = field(default_factory=FollowUpSection)
    names: NamesSection = field(default_factory=NamesSection)
    log: LogSection = field(default_factory=LogSection)

    @property
    def sounds_dir(self) -> Path:
        """Where the prompts are installed: the manifest, and a folder for each language."""
        return sounds_dir_of(self)


def sounds_dir_of(config: Config | Settings) -> Path:
    """Where the chosen PBX has our prompts."""
    if config.pbx == "freeswitch":
        return config.freeswitch.sounds_dir / "callrec"
    return config.asterisk.sounds_dir
