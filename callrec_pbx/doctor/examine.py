"""All checks, one after the other."""

from pathlib import Path

from callrec_pbx.config import ConfigError, config_path, load_config
from callrec_pbx.doctor import check, database, follow_up, local, policy, quota
from callrec_pbx.doctor.asterisk.examine import examine_asterisk
from callrec_pbx.doctor.finding import Finding, fail
from callrec_pbx.doctor.freeswitch.examine import examine_freeswitch

LOCAL = (
    local.check_config,
    database.check_catalogue,
    policy.check_policy,
    local.check_disk,
    quota.check_quota,
    local.check_prompts,
    follow_up.check_follow_up,
    check.check_last,
)


async def examine(path: Path | None = None) -> list[Finding]:
    """Examine everything that the configuration names.

    Args:
        path: The configuration file, as for `load_config`.
    """
    try:
        config = load_config(path)
    except ConfigError as error:
        return [
            fail("config", str(problem), f"mend {config_path(path)}") for problem in error.problems
        ]
    findings = [finding for check in LOCAL for finding in check(config)]
    if config.pbx == "freeswitch":
        return findings + await examine_freeswitch(config)
    return findings + await examine_asterisk(config)
