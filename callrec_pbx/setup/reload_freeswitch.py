"""Having the running FreeSWITCH read what was put in place."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from callrec_pbx.config import Config
from callrec_pbx.setup import event_socket
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.event_socket import Login
from callrec_pbx.setup.plan import Plan

RELOAD = "reloadxml"
RELOAD_SOCKET = "reload mod_event_socket"
RELOAD_S = 30
WAIT_S = 30.0
STEP_S = 0.25


def reload_freeswitch(program: str, config: Config, plan: Plan) -> list[tuple[str, str]]:
    """Run the reload commands; return each with what FreeSWITCH said.

    The event socket is only loaded anew where its settings have changed, as that drops the
    connections of all who use it, but no call.

    Args:
        program: `fs_cli`, or its path.
        config: The configuration.
        plan: What has just been carried out.

    Raises:
        SetupError: The program is missing, FreeSWITCH does not run, or does not let us in.
    """
    changed = next((one for one in plan.files if event_socket.is_of(one)), None)
    logins = event_socket.logins(config, changed)
    after = logins[0]
    used, said = _first(program, logins)
    done = [(RELOAD, said)]
    if changed is not None or used != after:
        # In a thread of FreeSWITCH's own: the module cannot end while one of its users waits.
        _run(program, used, f"bgapi {RELOAD_SOCKET}")
        done.append((RELOAD_SOCKET, _wait(program, after)))
    return done


def _first(program: str, logins: list[Login]) -> tuple[Login, str]:
    said = ""
    for login in logins:
        output, good = _run(program, login, RELOAD)
        if good:
            return login, output
        said = said or output
    raise SetupError(
        f"{program} -x {RELOAD}: {said}; the files are in place, start FreeSWITCH, or have it read "
        f"them by hand: fs_cli -x {RELOAD}"
    )


def _wait(program: str, login: Login) -> str:
    until = time.monotonic() + WAIT_S
    while True:
        output, good = _run(program, login, "status")
        if good:
            return "+OK"
        if time.monotonic() > until:
            raise SetupError(
                f"{program} -x {RELOAD_SOCKET!r}: {output}; the files are in place, start "
                "FreeSWITCH again when no calls run"
            )
        time.sleep(STEP_S)


def _run(program: str, login: Login, command: str) -> tuple[str, bool]:
    """Run fs_cli; return what it said, and whether FreeSWITCH let it in.

    The password is in a file of its own, as others can see a program's arguments.
    """
    with tempfile.TemporaryDirectory(prefix="callrec-") as home:
        profile = f"[default]\nhost => {login.host}\nport => {login.port}\n"
        Path(home, ".fs_cli_conf").write_text(f"{profile}password => {login.password}\n")
        try:
            done = subprocess.run(  # noqa: S603 - the administrator names the program
                [program, "-t", "5000", "-x", command],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=RELOAD_S,
                check=False,
                env={**os.environ, "HOME": home},
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise SetupError(
                f"{program} -x {command!r}: {error}; the files are in place, name the program with "
                f"--fs-cli, or have FreeSWITCH read them by hand: fs_cli -x {RELOAD}"
            ) from error
    output = (done.stdout + done.stderr).strip()
    return output, done.returncode == 0
