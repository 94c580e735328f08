"""All checks, one after the other."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from callrec_pbx.config import Config, ConfigError, config_path, load_config
from callrec_pbx.doctor import ami, check, database, follow_up, local, pbx, policy, quota
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.doctor.probe import PbxProbe
from callrec_pbx.pbx.asterisk.link import AmiLink
from callrec_pbx.pbx.errors import LoginRefusedError, PbxError

PbxCheck = Callable[[PbxProbe, Config], AsyncIterator[Finding]]

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

ON_PBX: dict[str, PbxCheck] = {
    "ami_rights": ami.check_rights,
    "ami_events": ami.check_filters,
    "ami_timestamps": ami.check_timestamps,
    "recorder": ami.check_monitor,
    "modules": pbx.check_modules,
    "dialplan": pbx.check_dialplan,
    "keys": pbx.check_keys,
    "key_clash": pbx.check_key_clash,
    "spool": pbx.check_spool,
    "prompt_access": pbx.check_prompt_access,
    "trunks": pbx.check_trunks,
    "clock": pbx.check_clock,
    "heartbeat": pbx.check_heartbeat,
}


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
    secret = config.asterisk.secret.get_secret_value()
    if secret:
        findings += await _examine_pbx(config, secret)
    return findings


async def _examine_pbx(config: Config, secret: str) -> list[Finding]:
    asterisk = config.asterisk
    link = AmiLink(
        asterisk.host,
        asterisk.port,
        asterisk.username,
        secret,
        timeout_s=asterisk.action_timeout_s,
        connect_timeout_s=asterisk.connect_timeout_s,
    )
    where = f"{asterisk.host}:{asterisk.port}"
    try:
        await link.connect()
    except LoginRefusedError as error:
        return [
            fail(
                "ami",
                f"{where} refuses the user {asterisk.username}: {error}",
                "run `callrec-pbx setup asterisk --reload`; the secret there must be that of "
                f"{config.path} or {asterisk.secret_file}",
            )
        ]
    except PbxError as error:
        return [
            fail(
                "ami",
                f"{where}: {error}",
                "start Asterisk, set enabled = yes in [general] of manager.conf (setup does with "
                "--enable-manager), and see asterisk.host and asterisk.port",
            )
        ]
    findings = [ok("ami", f"{where} lets {asterisk.username} in")]
    try:
        for name, check in ON_PBX.items():
            findings += await _carefully(name, check, link, config)
    finally:
        link.close()
    return findings


async def _carefully(name: str, check: PbxCheck, probe: PbxProbe, config: Config) -> list[Finding]:
    found: list[Finding] = []
    try:
        async for finding in check(probe, config):
            found += [finding]
    except (PbxError, OSError) as error:
        remedy = "mend what failed above, and look again"
        found += [warn(name, f"could not be checked: {error}", remedy)]
    return found
