"""``ssh`` and ``rsync`` that stay on this machine, for Ray's cluster launcher: no server for either is needed.

Called as ``ssh`` it runs the command in a shell, and a port that is asked for leads to the dashboard named by
``FAKE_SSH_DASHBOARD``; called as ``rsync`` it copies. Options of both are taken as Ray writes them.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from pathlib import Path

WITH_VALUE = ("-i", "-o", "-L", "--rsh", "--exclude", "--filter")


def main() -> None:
    options: dict[str, str] = {}
    words = sys.argv[1:]
    rest = []
    while words:
        word = words.pop(0)
        if word in WITH_VALUE and not rest[1:]:
            options[word] = words.pop(0)
        elif not word.startswith("-") or rest:
            rest.append(word)
    if Path(sys.argv[0]).name == "rsync":
        copy(rest[0], os.path.expanduser(rest[1].partition(":")[2]))
    elif "-L" in options:
        forward(int(options["-L"].partition(":")[0]), int(os.environ["FAKE_SSH_DASHBOARD"]))
    else:
        os.execvp("bash", ["bash", "-c", " ".join(rest[1:])])


def copy(source: str, target: str) -> None:
    Path(target.rstrip("/")).parent.mkdir(parents=True, exist_ok=True)
    if Path(source).is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def forward(here: int, there: int) -> None:
    with socket.create_server(("127.0.0.1", here)) as server:
        while True:
            near, _ = server.accept()
            try:
                far = socket.create_connection(("127.0.0.1", there))
            except OSError:
                near.close()
                continue
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=pump, args=(one, other), daemon=True).start()


def pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while piece := one.recv(65536):
            other.sendall(piece)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        other.close()


if __name__ == "__main__":
    main()
