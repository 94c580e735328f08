"""All checks of Asterisk, one after the other."""

from callrec_pbx.config import Config
from callrec_pbx.doctor.asterisk import ami, pbx
from callrec_pbx.doctor.asterisk.probe import PbxProbe
from callrec_pbx.doctor.careful import Check, carefully
from callrec_pbx.doctor.finding import Finding, fail, ok
from callrec_pbx.pbx.asterisk.link import AmiLink
from callrec_pbx.pbx.errors import LoginRefusedError, PbxError

CHECKS: dict[str, Check[PbxProbe]] = {
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


async def examine_asterisk(config: Config) -> list[Finding]:
    """Log in beside a running listener and look; a check that fails does not end the others."""
    asterisk = config.asterisk
    secret = asterisk.secret.get_secret_value()
    if not secret:
        return []  # the configuration's check says so
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
        findings += await carefully(CHECKS, link, config)
    finally:
        link.close()
    return findings
