"""Telling systemd that the listener is ready, alive, ending.

Source: sd_notify(3): datagrams of `NAME=value` lines to the socket that $NOTIFY_SOCKET names.
"""

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """Speaks to the service manager, where there is one; never raises, never waits.

    Args:
        environment: Where the service manager says how; it is asked once.

    Attributes:
        watched: Whether it wants signs of life.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is in the abstract namespace, where it begins with a zero.
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        process = environment.get("WATCHDOG_PID", "")
        mine = process in ("", str(os.getpid()))
        self.watched = bool(self._address and environment.get("WATCHDOG_USEC") and mine)

    def ready(self) -> None:
        """Everything that was to be started is."""
        self._send("READY=1")

    def alive(self) -> None:
        """The event loop gets to its work."""
        if self.watched:
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.setblocking(False)
            out.sendto(message.encode(), self._address)
