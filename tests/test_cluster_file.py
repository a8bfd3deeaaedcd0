"""cluster.yaml is a file that `ray up` takes: Ray's own preparation and schema accept it, and no token is in it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CLUSTER_FILE = ROOT / "cluster.yaml"


@pytest.fixture
def written() -> dict[str, Any]:
    content = yaml.safe_load(CLUSTER_FILE.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


@pytest.fixture
def prepared(written: dict[str, Any]) -> dict[str, Any]:
    """What `ray up` makes of the file before it first talks to the cloud: defaults filled in, commands merged."""
    from ray.autoscaler._private.util import prepare_config

    config: dict[str, Any] = prepare_config(written)
    return config


def test_rays_own_schema_and_preparation_accept_the_cluster_file(prepared: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import validate_config

    validate_config(prepared)
    assert prepared["head_node_type"] in prepared["available_node_types"]
    assert prepared["available_node_types"]["head"]["max_workers"] == 0


def test_a_misspelt_key_would_have_been_refused(written: dict[str, Any]) -> None:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(jsonschema.ValidationError, match="max_wrokers"):
        validate_config(prepare_config({**written, "max_wrokers": 4}))


def test_the_nodes_install_the_pinned_versions_and_no_other_ray(prepared: dict[str, Any]) -> None:
    commands = prepared["head_setup_commands"] + prepared["worker_setup_commands"]
    assert any("make -C ~/tunekit install" in command for command in commands)
    assert not [command for command in commands if "ray-wheels" in command or "pip install -U" in command]


def test_every_ray_of_the_cluster_starts_with_token_authentication(prepared: dict[str, Any]) -> None:
    starts = [
        command
        for command in prepared["head_start_ray_commands"] + prepared["worker_start_ray_commands"]
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    assert any("export RAY_AUTH_MODE=token" in command for command in prepared["initialization_commands"])
    assert prepared["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    assert "RAY_AUTH_TOKEN=" not in CLUSTER_FILE.read_text(encoding="utf-8")


def test_the_token_is_read_where_ray_looks_for_it() -> None:
    from ray._private.authentication.authentication_token_setup import _get_default_token_path

    assert _get_default_token_path().relative_to(Path.home()) == Path(".ray/auth_token")


def test_all_that_installing_takes_is_copied_to_the_nodes(prepared: dict[str, Any]) -> None:
    copied = {local for remote, local in prepared["file_mounts"].items() if remote.startswith("/home/ubuntu/tunekit/")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {"tunekit", "Makefile", "pyproject.toml", "constraints.txt", project["readme"], *project["license-files"]}
    assert needed <= copied
    assert not [name for name in copied - {project["readme"]} if not (ROOT / name).exists()]


def test_nodes_have_gpus_and_share_a_file_system(prepared: dict[str, Any]) -> None:
    for node_type in prepared["available_node_types"].values():
        assert re.match(r"[gp]\d", node_type["node_config"]["InstanceType"])
    assert any("mount -t nfs4" in command for command in prepared["initialization_commands"])


def test_the_dashboard_is_not_open_to_the_network(prepared: dict[str, Any]) -> None:
    assert any("--dashboard-host=127.0.0.1" in command for command in prepared["head_start_ray_commands"])


def test_the_cluster_launcher_is_part_of_the_installed_ray() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(requirement.startswith("ray[default") for requirement in project["dependencies"])
