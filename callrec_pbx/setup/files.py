"""Reading what is there."""

from pathlib import Path

from callrec_pbx.setup.errors import SetupError


def read(path: Path) -> bytes | None:
    """Return the content; None when there is no such file.

    Raises:
        SetupError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"{path}: cannot be read ({error.strerror}); run setup as root") from error


def text(path: Path) -> str:
    """Return the content as Latin-1, which keeps every byte; empty when there is no such file.

    Raises:
        SetupError: It cannot be read.
    """
    return (read(path) or b"").decode("latin-1")
