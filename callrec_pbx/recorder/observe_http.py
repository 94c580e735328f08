"""`/metrics` and `/healthz` over HTTP, in threads of their own.

Whoever asks can hold up nothing: a request has a deadline, a few are answered at a time, and what
is answered lies ready in memory.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import TCPServer
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from callrec_pbx import metrics
from callrec_pbx.config.checks import address
from callrec_pbx.recorder.observe_health import Health, health

log = structlog.get_logger(__name__)

REQUEST_S = 3.0
"""From the connection to the last byte of the request, and again to the last of the answer."""

AT_ONCE = 4
"""Requests that are answered at a time; one more is hung up on."""

HEAD_BYTES = 8192
LOOK_S = 0.5
"""Between looks whether the end has come."""

AGAIN_S = 30.0
"""Between attempts to get the address."""

JSON = "application/json"
METHODS = ("GET", "HEAD")


class Answer(NamedTuple):
    """What is sent."""

    status: HTTPStatus
    kind: str
    body: bytes


class Handler(BaseHTTPRequestHandler):
    """Answers one request, and closes."""

    server: "Server"
    server_version = "callrec-pbx"
    sys_version = ""
    default_request_version = "HTTP/1.0"  # the status line goes to the worst of clients too

    def setup(self) -> None:
        """Read the head, whatever the client's pace, within the deadline."""
        self.connection = self.request
        self.rfile: Any = BytesIO(_read_head(self.connection))
        self.connection.settimeout(REQUEST_S)  # `sendall` takes it for all that is sent
        self.wfile: Any = BytesIO()

    def finish(self) -> None:
        """Send the answer in one piece."""
        self.connection.sendall(self.wfile.getvalue())

    def do_GET(self) -> None:
        """Answer."""
        if self.headers.get("Transfer-Encoding") or self.headers.get("Content-Length", "0") != "0":
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        answer = self.server.answer(self.path.partition("?")[0], self.headers.get("Accept", ""))
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._send(answer)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self.do_GET()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", ", ".join(METHODS))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_error(
        self,
        code: int,
        message: str | None = None,  # noqa: ARG002 - it may repeat what the client has sent
        explain: str | None = None,  # noqa: ARG002
    ) -> None:
        """Say no in a few words, without any of the client's."""
        status = HTTPStatus(code)
        if status is HTTPStatus.NOT_IMPLEMENTED:
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self.close_connection = True
        self._send(Answer(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode()))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: it is asked every few seconds."""


def _read_head(connection: socket.socket) -> bytes:
    """What came up to the empty line, or to the bound."""
    deadline, head = time.monotonic() + REQUEST_S, b""
    while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        data = connection.recv(HEAD_BYTES - len(head))
        if not data:
            break
        head += data
    return head


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """What makes the page, and its type; who asks for nonsense gets the plain one."""
    if accept.isascii():
        with contextlib.suppress(TypeError, ValueError):
            return choose_encoder(accept)
    return choose_encoder("")


class Server(TCPServer):
    """Takes one connection after the other."""

    timeout = LOOK_S
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(
        self, place: tuple[Any, ...], family: int, answer: Callable[[str, str], Answer | None]
    ) -> None:
        self.address_family = family
        self.answer = answer
        self._free = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(place, Handler)

    def server_bind(self) -> None:
        """Keep an IPv6 address to itself: the IPv4 one may be somebody else's."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, or not at all while all are busy."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        threading.Thread(
            target=self._work, args=(request, client_address), name="metrics-request", daemon=True
        ).start()

    def _work(self, request: Any, client_address: Any) -> None:
        try:
            # A client that goes, or dawdles, is none of our business.
            with contextlib.suppress(OSError):
                self.finish_request(request, client_address)
        except Exception:
            log.exception("metrics_request_broke")
        finally:
            self._free.release()
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A connection that could not be taken."""
        log.exception("metrics_request_broke")


class MetricsServer:
    """Serves what lies ready; where the address cannot be had, recording goes on without.

    Args:
        listen: `host:port`; empty serves nothing.
        ask: How the listener is.
    """

    def __init__(
        self,
        listen: str,
        registry: CollectorRegistry = metrics.REGISTRY,
        ask: Callable[[], Health] = health,
    ) -> None:
        self._listen = listen
        self._registry = registry
        self._ask = ask
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.bound = threading.Event()
        self.address: tuple[Any, ...] = ()

    def start(self) -> None:
        """Begin to listen; returns at once."""
        if self._listen:
            self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(REQUEST_S)

    def _run(self) -> None:
        server = self._bind()
        if server is None:
            return
        with server:
            self.address = server.server_address
            self.bound.set()
            log.info("metrics_served", address=self._listen)
            while not self._stopping.is_set():
                server.handle_request()

    def _bind(self) -> Server | None:
        told = False
        while not self._stopping.is_set():
            try:
                host, port = address(self._listen)
                found = socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
                )
                family, _, _, _, place = found[0]
                return Server(place, family, self._answer)
            except OSError as error:
                if not told:
                    log.error(  # noqa: TRY400 - the reason says it all
                        "metrics_not_served",
                        address=self._listen,
                        reason=str(error),
                        effect="calls are recorded all the same",
                        remedy="choose another metrics.listen, or free that address",
                    )
                told = True
            self._stopping.wait(AGAIN_S)
        return None

    def _answer(self, path: str, accept: str) -> Answer | None:
        if path == "/metrics":
            encode, kind = _encoder(accept)
            return Answer(HTTPStatus.OK, kind, encode(self._registry))
        if path == "/healthz":
            found = self._ask()
            status = HTTPStatus.OK if found.healthy else HTTPStatus.SERVICE_UNAVAILABLE
            return Answer(status, JSON, json.dumps(found.document, indent=1).encode() + b"\n")
        return None
