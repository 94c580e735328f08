"""The policy that is in the catalogue: loaded at the start, and again when it has changed."""

import gc
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.domain.people import Profile
from callrec_pbx.domain.policy import Policy
from callrec_pbx.domain.policy.settings import Filled
from callrec_pbx.people.profiles import (
    ProfileSwitch,
    profile_by_code,
    switch_profile,
    switches_after,
)
from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.load import load_policy, newest_version

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What has changed since the last look.

    Attributes:
        policy: A new version, which knows of all switches; None where there is none.
        switches: Profiles that users have switched to, oldest first.
    """

    policy: Policy | None = None
    switches: tuple[ProfileSwitch, ...] = ()


class Policies:
    """Reads policies from the catalogue; its methods block, and are for threads.

    Args:
        defaults: What counts where no level says anything.

    Attributes:
        policy: The newest one that could be read.

    Raises:
        PolicyFileError: The current version cannot be read.
    """

    def __init__(self, engine: Engine, defaults: Filled) -> None:
        self._engine = engine
        self._defaults = defaults
        self._broken = 0
        self._load(None)

    def _load(self, before: Policy | None) -> None:
        # Many thousand objects that stay: collecting garbage among them would stop everything
        # else for a sixth of a second, and again now and then.
        gc.disable()
        try:
            loaded = load_policy(self._engine, self._defaults, datetime.now(UTC).date(), before)
        finally:
            gc.freeze()
            gc.enable()
        self.policy = loaded.policy
        self._version = loaded.version
        self._last_switch = loaded.last_switch

    def look(self) -> News:
        """Say what is new.

        A version that makes no sense leaves the one before in force, and is not tried again;
        what keeps it from being read at all, such as a database that is away, is raised.
        """
        with reading(self._engine).begin() as connection:
            version = newest_version(connection)
            switches = tuple(switches_after(connection, self._last_switch))
        if version not in (self._version, self._broken):
            try:
                self._load(self.policy)
            except PolicyFileError:
                log.exception("policy_not_read", version=version, in_force=self._version)
                self._broken = version
            else:
                return News(self.policy)
        if switches:
            self._last_switch = switches[-1].id
        return News(switches=switches)

    def switch_profile(self, line: str, code: str) -> Profile | None:
        """Make the profile with that code the active one of that line's user, and write it down.

        Returns:
            The profile; None where the line has no user, or the user no profile with that code.

        Raises:
            PeopleError: It has been removed meanwhile.
        """
        people = self.policy.people
        user = people.belonging(line, "", "").user
        profile = profile_by_code(people, user, code) if user is not None else None
        if user is not None and profile is not None:
            switch_profile(self._engine, user.tenant, user.email, profile.name, f"phone:{line}")
        return profile
