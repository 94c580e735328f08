"""One connection to FreeSWITCH's event socket, on greenswitch in a thread of its own."""

from collections.abc import Callable

Message = dict[str, str]
"""One event: header by name, values as FreeSWITCH has them (already decoded from JSON)."""

OnMessages = Callable[[list[Message]], None]


class EslLink:
    """One connection to the event socket.

    Args:
        host: Host of the event socket.
        port: Its TCP port.
        password: Its password.
        on_messages: Gets the events in order, in the event loop; None: none are asked for.
        timeout_s: Longest wait for the answer to a command, in seconds.
        connect_timeout_s: Longest wait for connection and login, in seconds.
    """

    def __init__(
        self,
        host: str,
        port: int,
        password: str,
        *,
        on_messages: OnMessages | None = None,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 5.0,
    ) -> None:
        raise NotImplementedError

    async def connect(self) -> None:
        """Connect, log in, and subscribe to the events that are needed.

        Raises:
            LoginRefusedError: The password is wrong, or the access list refuses this machine.
            LinkDownError: Nobody listens, or the connection broke.
            ActionTimeoutError: No answer in time.
        """
        raise NotImplementedError

    async def api(self, command: str, timeout_s: float | None = None) -> str:
        """Run an API command (`uuid_record …`) and return what it printed, stripped.

        Raises:
            ActionFailedError: FreeSWITCH answered `-ERR …` or `-USAGE …`; the text is its own.
            ActionTimeoutError: No answer in time; whether it was done is not known.
            LinkDownError: Not connected, or the connection broke before the answer.
            UnsafeValueError: CR, LF or NUL in it, or longer than a command may be.
        """
        raise NotImplementedError

    async def wait_lost(self) -> None:
        """Return when the connection is gone."""
        raise NotImplementedError

    def close(self) -> None:
        """Drop the connection; what is pending ends with `LinkDownError`. Safe to repeat."""
        raise NotImplementedError
