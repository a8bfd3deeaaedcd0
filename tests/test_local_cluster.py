"""What a cluster on this machine promises to the tests that start one."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
from pathlib import Path

import local_cluster
import pytest
from local_cluster import free_port

ANOTHER = """
import local_cluster
local_cluster.PORTS = range({first}, {end})
print(*[local_cluster.free_port() for _ in range(10)])
"""


def test_a_free_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    few = range(31_000, 31_060)
    monkeypatch.setattr(local_cluster, "PORTS", few)
    given = [free_port() for _ in range(10)]
    code = ANOTHER.format(first=few.start, end=few.stop)
    here = Path(__file__).parent
    said = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True).stdout
    given += [int(word) for word in said.split()]
    assert len(set(given)) == 20, "two parts of Ray would be told to use one port"


def test_a_free_port_is_not_in_use_on_any_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        used = server.getsockname()[1]
        first, draw = iter([used]), secrets.choice
        monkeypatch.setattr(secrets, "choice", lambda ports: next(first, None) or draw(ports))
        assert free_port() != used
        assert next(first, None) is None, "the port in use was drawn, and passed over"
