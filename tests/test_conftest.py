"""What conftest.py promises to every test."""

from __future__ import annotations

import os
import socket

import pytest


def test_the_tests_of_a_module_run_in_one_process(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("one process runs all tests here (-n 0)")
    assert request.node.nodeid.endswith("@test_conftest"), "xdist did not read the group of this test"


def test_nothing_outside_the_machine_is_reached() -> None:
    with pytest.raises(OSError, match=r"tests use no network, and this one wants 8\.8\.8\.8"):
        socket.create_connection(("8.8.8.8", 9), timeout=1)
