"""Find the folders that are carried beside the code: dialplan, ami, esl, migrations, prompts."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: str) -> Path:
    """Return a carried folder: the wheel's copy, else the one at the top of the checkout.

    Raises:
        FileNotFoundError: there is neither, so the installation is incomplete.
    """
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"resource {name!r}: no such folder in {_PACKAGE / '_data'}; install callrec-pbx again"
    )
