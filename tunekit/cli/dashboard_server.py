"""optuna-dashboard on this machine, for as long as a person looks at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tunekit.errors import ConfigError

HOST = "127.0.0.1"


class _Server(ThreadingMixIn, WSGIServer):
    """Answers in threads of their own, so that a Ctrl-C always reaches the one that waits, and ends it."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """A page makes dozens of requests; nobody wants to read them."""


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

    application = wsgi(f"sqlite:///{storage}")
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
