"""All checks of FreeSWITCH, one after the other."""

from callrec_pbx.config import Config
from callrec_pbx.doctor.careful import Check, carefully
from callrec_pbx.doctor.finding import Finding, fail, ok
from callrec_pbx.doctor.freeswitch import dialplan, esl, files, keys, scripts, state
from callrec_pbx.doctor.freeswitch.probe import EslProbe
from callrec_pbx.pbx.errors import LoginRefusedError, PbxError
from callrec_pbx.pbx.freeswitch.link import EslLink

CHECKS: dict[str, Check[EslProbe]] = {
    "esl_security": esl.check_security,
    "version": state.check_version,
    "modules": state.check_modules,
    "recorder": state.check_recorder,
    "scripts": scripts.check_scripts,
    "dialplan": dialplan.check_dialplan,
    "keys": keys.check_keys,
    "key_clash": keys.check_key_clash,
    "spool": files.check_spool,
    "prompt_access": files.check_prompt_access,
    "trunks": state.check_trunks,
    "clock": state.check_clock,
    "heartbeat": state.check_heartbeat,
}


async def examine_freeswitch(config: Config) -> list[Finding]:
    """Log in beside a running listener and look; a check that fails does not end the others."""
    freeswitch = config.freeswitch
    password = freeswitch.password.get_secret_value()
    if not password:
        return []  # the configuration's check says so
    link = EslLink(
        freeswitch.host,
        freeswitch.port,
        password,
        timeout_s=freeswitch.action_timeout_s,
        connect_timeout_s=freeswitch.connect_timeout_s,
    )
    where = f"{freeswitch.host}:{freeswitch.port}"
    file = freeswitch.config_dir / esl.FILE
    try:
        await link.connect()
    except LoginRefusedError as error:
        return [
            fail(
                "esl",
                f"{where} does not let us in: {error}",
                f"the password in {file} must be that of {config.path} or "
                f"{freeswitch.password_file}, and its apply-inbound-acl must allow this machine; "
                "after a change there `callrec-pbx setup freeswitch --reload`",
            )
        ]
    except PbxError as error:
        return [
            fail(
                "esl",
                f"{where}: {error}",
                "start FreeSWITCH, load mod_event_socket in autoload_configs/modules.conf.xml, and "
                f"see listen-ip and listen-port in {file}, freeswitch.host and freeswitch.port in "
                f"{config.path}",
            )
        ]
    findings = [ok("esl", f"{where} lets us in")]
    try:
        findings += await carefully(CHECKS, link, config)
    finally:
        link.close()
    return findings
