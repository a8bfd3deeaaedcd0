"""optuna-dashboard on this machine, for as long as a person looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tunekit.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"


class _Server(ThreadingMixIn, WSGIServer):
    """Answers in threads of their own, so that a Ctrl-C always reaches the one that waits, and ends it."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """A page makes dozens of requests; nobody wants to read them."""


def for_this_machine(application: WSGIApplication, port: int) -> WSGIApplication:
    """`application` for the browser of this machine alone.

    Every page in that browser can send requests to this machine. Those that come from another page (``Origin``), or
    that reach us by a name that somebody else gave this machine (``Host``), are refused.

    Args:
        application: what answers.
        port: on which it does.
    """
    ours = {f"{host}:{port}" for host in (HOST, "localhost")}
    origins = {f"http://{place}" for place in ours}

    def answer(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        origin = environment.get("HTTP_ORIGIN")
        if environment.get("HTTP_HOST") in ours and (origin is None or origin in origins):
            return application(environment, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"only for pages of this machine\n"]

    return answer


def serve(storage: Path, port: int, tell: Callable[[str], object]) -> None:
    """Show an Optuna storage until Ctrl-C.

    Args:
        storage: an SQLite file.
        port: of this machine; no other machine can reach it.
        tell: gets the address once it answers.

    Raises:
        ConfigError: the port cannot be used.
    """
    from optuna_dashboard import wsgi

    application = for_this_machine(wsgi(f"sqlite:///{storage}"), port)
    try:
        server = make_server(HOST, port, application, server_class=_Server, handler_class=_Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"--port {port} cannot be used: {reason}; choose another one") from None
    with server:
        tell(f"optuna-dashboard on http://{HOST}:{port} (Ctrl-C stops it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
