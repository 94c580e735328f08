"""One Asterisk process with folders of its own, in the private root or native."""

from __future__ import annotations

import asyncio
import functools
import shlex
import socket
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bed.ami import Ami, AmiError
from tests.bed.server import POLL_S, REPOSITORY, START_S, BedError, Server, free_port

__all__ = ["POLL_S", "REPOSITORY", "AsteriskServer", "BedError", "free_port", "installation"]

AMI_USER = "bed"
AMI_SECRET = "bed-secret"

MODULES = """
res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject
res_rtp_asterisk res_musiconhold res_parking res_clialiases res_crypto res_srtp
res_pjsip res_pjsip_session res_pjsip_sdp_rtp res_pjsip_caller_id res_pjsip_dtmf_info
res_pjsip_endpoint_identifier_ip res_pjsip_endpoint_identifier_user res_pjsip_refer
res_pjsip_rfc3326 res_pjsip_nat res_pjsip_diversion res_pjsip_header_funcs res_pjsip_logger
res_pjsip_pubsub res_pjsip_authenticator_digest res_pjsip_outbound_authenticator_digest
res_pjsip_registrar res_pjsip_acl res_pjsip_maintenance res_pjsip_dlg_options res_pjsip_empty_info
res_speech res_agi app_chanspy chan_pjsip chan_bridge_media pbx_config pbx_spool
app_dial app_queue app_mixmonitor app_read app_playback app_playtones app_senddtmf app_record
app_transfer app_stack app_userevent app_verbose app_waitforcond app_exec app_confbridge
app_directed_pickup app_bridgewait app_bridgeaddchan app_blind_transfer app_attended_transfer
app_cdr app_channelredirect app_controlplayback app_db app_echo app_if app_milliwatt
app_originate res_clioriginate app_softhangup app_while app_waitforsilence app_waituntil
app_voicemail
bridge_builtin_features bridge_builtin_interval_features bridge_holding bridge_native_rtp
bridge_simple bridge_softmix
codec_ulaw codec_alaw codec_a_mu codec_g722 codec_resample
format_wav format_pcm format_sln
func_callerid func_channel func_cut func_db func_devstate func_dialplan func_env func_export
func_extstate func_global func_groupcount func_hangupcause func_holdintercept func_iconv
func_json func_lock func_logic func_math func_module func_pjsip_aor func_pjsip_contact
func_pjsip_endpoint func_rand func_sha1 func_sprintf func_strings func_sysinfo func_timeout
func_uri func_uuid func_version func_volume func_periodic_hook func_scramble
""".split()  # noqa: SIM905
"""What is loaded, as far as the installation has it; with all modules a start takes 5 s."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where Asterisk is.

    Attributes:
        root: Folder to chroot into; None when Asterisk is on this machine itself.
        program: The program, as seen inside the root.
        modules: Its module folder, as seen inside the root.
    """

    root: Path | None
    program: str
    modules: str

    def outside(self, path: str) -> Path:
        """Return the path on this machine of a path inside the root."""
        return Path(path) if self.root is None else self.root / path.lstrip("/")

    def data_dirs(self) -> list[str]:
        """Return the folders (as seen inside the root) that hold sounds and documentation."""
        known = ("/usr/share/asterisk", "/var/lib/asterisk")
        return [path for path in known if self.outside(path).is_dir()]


@functools.cache
def installation() -> Installation:
    """Find an Asterisk, getting one first where there is none.

    Raises:
        BedError: There is none and none can be got.
    """
    script = REPOSITORY / "docker" / "get-asterisk.sh"
    done = subprocess.run([script], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise BedError(f"{script} failed, see its output above")
    said = dict(word.split("=", 1) for word in shlex.split(done.stdout))
    root = said["ASTERISK_ROOT"]
    return Installation(
        Path(root) if root else None, said["ASTERISK_BIN"], said["ASTERISK_MODULES"]
    )


# Run inside a mount namespace of its own, which ends with the process: nothing is left mounted.
# $1 is the root, $2 the folder that must have the same path inside and outside. The deepest
# folder on the way that the root has is empty (such as /tmp) in any usual place, and a tmpfs over
# it takes the mount point, so that the root itself stays as it was.
_ENTER_ROOT = """
set -e
root=$1 shared=$2; shift 2
if [ ! -d "$root$shared" ]; then
    have=$shared
    while [ ! -d "$root$have" ]; do have=$(dirname "$have"); done
    if [ "$have" != / ] && [ -z "$(ls -A "$root$have")" ]; then
        mount -t tmpfs -o mode=1777 tmpfs "$root$have"
    fi
    mkdir -p "$root$shared"
fi
mount --rbind "$shared" "$root$shared"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
exec setpriv --pdeathsig KILL chroot "$root" "$@"
"""


class AsteriskServer(Server):
    """One Asterisk: its folders, its process, its AMI connection.

    The folders have the same path inside and outside the root.

    Attributes:
        spool: Spool (astspooldir).
        data: Data (astdatadir); `data/sounds` is a real folder, what is in it are links.
        ami_port: Port of the manager on 127.0.0.1.
        ami: The bed's own connection to it while the server runs.
    """

    def __init__(self, name: str, bed_dir: Path) -> None:
        super().__init__(name, bed_dir)
        self.where = installation()
        self.run = self.base / "run"
        self.spool = self.base / "spool"
        self.db = self.base / "db"
        self.data = self.base / "data"
        self.keys = self.base / "keys"
        self.ami_port = free_port("127.0.0.1", socket.SOCK_STREAM)
        self._ami: Ami | None = None

    @property
    def cli(self) -> Path:
        """A script that runs `asterisk` for this one, such as with `-rx COMMAND`."""
        return self.base / "asterisk"

    @property
    def ami(self) -> Ami:
        """The bed's AMI connection.

        Raises:
            BedError: The server does not run.
        """
        if self._ami is None:
            raise BedError(f"{self.name} is not running")
        return self._ami

    def outside(self, path: Path) -> Path:
        """Return where a path of this machine could also be seen, inside the PBX's own root."""
        return self.where.outside(str(path))

    def write_config(self, files: dict[str, str]) -> None:
        """Write the folders, the general configuration, and these files into `etc`."""
        for folder in (self.etc, self.run, self.spool, self.db, self.logs, self.data, self.keys):
            folder.mkdir(parents=True, exist_ok=True)
        self._link_data()
        for name, text in {**self._general_files(), **files}.items():
            path = self.etc / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _link_data(self) -> None:
        for target in ("sounds", "documentation", "moh"):
            (self.data / target).mkdir(exist_ok=True)
            for source in self.where.data_dirs():
                folder = self.where.outside(f"{source}/{target}")
                for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
                    link = self.data / target / entry.name
                    if not link.is_symlink():
                        link.symlink_to(f"{source}/{target}/{entry.name}")

    def _general_files(self) -> dict[str, str]:
        have = self.where.outside(self.where.modules)
        load = [name for name in MODULES if (have / f"{name}.so").exists()]
        return {
            "asterisk.conf": (
                f"[directories]\nastetcdir => {self.etc}\nastmoddir => {self.where.modules}\n"
                f"astvarlibdir => {self.data}\nastdbdir => {self.db}\nastkeydir => {self.base}\n"
                f"astdatadir => {self.data}\nastagidir => {self.data}/agi-bin\n"
                f"astspooldir => {self.spool}\nastrundir => {self.run}\nastlogdir => {self.logs}\n"
                "[options]\nnocolor = yes\nmindtmfduration = 40\nlive_dangerously = no\n"
                f"systemname = {self.name}\n"
            ),
            "modules.conf": "[modules]\nautoload = no\n"
            + "".join(f"load = {name}.so\n" for name in load),
            "logger.conf": (
                "[general]\ndateformat = %F %T.%3q\n"
                "[logfiles]\nfull => notice,warning,error,verbose(3)\n"
            ),
            "manager.conf": (
                "[general]\nenabled = yes\nbindaddr = 127.0.0.1\n"
                f"port = {self.ami_port}\ntimestampevents = yes\n\n"
                f"[{AMI_USER}]\nsecret = {AMI_SECRET}\nwritetimeout = 5000\n"
                "read = system,call,agent,user,dtmf,reporting,dialplan\nwrite = all\n"
                "eventfilter = !Event: (TestEvent|RTCP)\n"
            ),
            "acl.conf": "",
            "ccss.conf": "[general]\n",
            "cli_aliases.conf": "[general]\ntemplate = empty\n[empty]\n",
            "confbridge.conf": "[general]\n",
            "pjproject.conf": "[startup]\ntype = startup\n",
            "udptl.conf": "[general]\n",
            "cdr.conf": "[general]\nenable = no\n",
            "cel.conf": "[general]\nenable = no\n",
            "indications.conf": (
                "[general]\ncountry = us\n[us]\ndescription = United States\n"
                "ringcadence = 2000,4000\ndial = 350+440\nbusy = 480+620/500,0/500\n"
                "ring = 440+480/2000,0/4000\ncongestion = 480+620/250,0/250\n"
                "callwaiting = 440/300,0/10000\ndialrecall = !350+440/100,!0/100,350+440\n"
                "record = 1400/500,0/15000\ninfo = !950/330,!1400/330,!1800/330,0\nstutter = 350\n"
            ),
        }

    def _command(self) -> list[str]:
        asterisk = [self.where.program, "-C", f"{self.etc}/asterisk.conf", "-f", "-g"]
        if self.where.root is None:
            return ["setpriv", "--pdeathsig", "KILL", *asterisk]
        enter = ["unshare", "--mount", "sh", "-c", _ENTER_ROOT, "enter-root"]
        return [*enter, str(self.where.root), str(self.bed_dir), *asterisk]

    async def _connect(self) -> None:
        while self._ami is None:
            self._check_starting()
            try:
                self._ami = await Ami.connect(self.ami_port, AMI_USER, AMI_SECRET)
            except (OSError, AmiError):
                await asyncio.sleep(POLL_S)
        await self._ami.wait_for(
            lambda message: message.event == "FullyBooted", timeout=START_S, since=0
        )
        self._write_cli(self.pid)

    def _write_cli(self, pid: int) -> None:
        asterisk = shlex.join([self.where.program, "-C", f"{self.etc}/asterisk.conf"])
        enter = "" if self.where.root is None else f"nsenter --target {pid} --mount --root --wd=/ "
        self.cli.write_text(f'#!/bin/sh\nexec {enter}{asterisk} "$@"\n')
        self.cli.chmod(self.cli.stat().st_mode | stat.S_IXUSR)

    async def rx(self, command: str) -> str:
        """Run a CLI command and return its output."""
        return await self.ami.command(command)

    async def _disconnect(self) -> None:
        ami, self._ami = self._ami, None
        if ami is not None:
            await ami.close()

    async def reload(self) -> None:
        """Read the configuration again, as after an edit."""
        await self.rx("core reload")

    async def hang_up_all(self) -> None:
        """Hang up every channel; nothing where the connection is lost."""
        if not self.ami.closed:
            await self.ami.action("Hangup", Channel="/.*/", check=False)

    async def channels(self) -> str:
        """Return the channels there are as text; empty for none, or a lost connection."""
        if self.ami.closed:
            return ""
        if (await self.rx("core show channels count")).startswith("0 active channels"):
            return ""
        return await self.rx("core show channels concise")
