"""Having the running Asterisk read what was put in place."""

import subprocess

from callrec_pbx.setup.errors import SetupError

RELOADS = ("manager reload", "dialplan reload", "module reload features")
RELOAD_S = 30


def reload_asterisk(program: str) -> list[tuple[str, str]]:
    """Run the reload commands; return each with what Asterisk said.

    Raises:
        SetupError: The program is missing, or Asterisk does not run.
    """
    said = []
    for command in RELOADS:
        try:
            done = subprocess.run(  # noqa: S603 - the administrator names the program
                [program, "-rx", command],
                capture_output=True,
                text=True,
                timeout=RELOAD_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise SetupError(
                f"{program} -rx {command!r}: {error}; the files are in place, name the program "
                "with --asterisk or reload by hand"
            ) from error
        output = (done.stdout + done.stderr).strip()
        if done.returncode != 0:
            raise SetupError(
                f"{program} -rx {command!r}: {output}; the files are in place, start Asterisk or "
                "reload by hand"
            )
        said.append((command, output))
    return said
