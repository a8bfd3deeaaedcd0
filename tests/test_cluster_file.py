"""The cluster files are what `ray up` takes: Ray's own preparation and schema accept them, and nothing is open."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunekit.cluster.render.words import RAY_VERSION

ROOT = Path(__file__).resolve().parents[1]
CLUSTER_FILES = {"aws": "cluster.yaml", "gcp": "clusters/gcp.yaml", "local": "clusters/onprem.yaml"}
"""By Ray's name for who provides the machines."""


@pytest.fixture(params=list(CLUSTER_FILES))
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def text(provider: str) -> str:
    return (ROOT / CLUSTER_FILES[provider]).read_text(encoding="utf-8")


@pytest.fixture
def written(text: str) -> dict[str, Any]:
    content = yaml.safe_load(text)
    assert isinstance(content, dict)
    return content


@pytest.fixture
def prepared(written: dict[str, Any]) -> dict[str, Any]:
    """What `ray up` makes of the file before it first talks to the cloud: defaults filled in, commands merged."""
    from ray.autoscaler._private.util import prepare_config

    config: dict[str, Any] = prepare_config(written)
    return config


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_rays_own_schema_and_preparation_accept_the_cluster_file(provider: str, prepared: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import validate_config

    validate_config(prepared)
    assert prepared["provider"]["type"] == provider
    assert prepared["head_node_type"] in prepared["available_node_types"]
    if provider != "local":
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


def test_what_is_installed_beside_it_is_pinned_and_agrees_with_the_constraints(prepared: dict[str, Any]) -> None:
    for command in prepared["head_setup_commands"] + prepared["worker_setup_commands"]:
        if "pip install" not in command:
            continue
        assert "-c ~/tunekit/constraints.txt" in command, command
        name, is_pinned, version = command.split()[-1].partition("==")
        assert is_pinned, command
        assert pins().get(name, version) == version, f"constraints.txt has another {name}"


def test_the_image_of_kubernetes_and_the_manifest_have_the_ray_of_the_constraints() -> None:
    dockerfile = (ROOT / "clusters/Dockerfile").read_text(encoding="utf-8")
    base = re.search(r"^FROM rayproject/ray:([\d.]+)-py(\d)(\d+)(-\w+)?$", dockerfile, re.MULTILINE)
    assert base and base[1] == pins()["ray"] == RAY_VERSION
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (int(base[2]), int(base[3])) >= tuple(map(int, re.findall(r"\d+", project["requires-python"])))
    assert "pip install --no-cache-dir -c /home/ray/tunekit/constraints.txt /home/ray/tunekit" in dockerfile
    copied = " ".join(re.findall(r"^COPY --chown=ray:users (.+) \S+$", dockerfile, re.MULTILINE)).split()
    needed = {"tunekit", "pyproject.toml", "constraints.txt", project["readme"], *project["license-files"]}
    assert set(copied) == needed
    sent = (ROOT / "clusters/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in sent if line.startswith("!")} == needed


def test_every_ray_of_the_cluster_starts_with_token_authentication(prepared: dict[str, Any], text: str) -> None:
    starts = [
        command
        for command in prepared["head_start_ray_commands"] + prepared["worker_start_ray_commands"]
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    assert any("export RAY_AUTH_MODE=token" in command for command in prepared["initialization_commands"])
    tokens = {remote: local for remote, local in prepared["file_mounts"].items() if remote.endswith(".ray/auth_token")}
    assert list(tokens.values()) == ["~/.ray/auth_token"]
    assert "RAY_AUTH_TOKEN=" not in text


def test_the_token_is_read_where_ray_looks_for_it() -> None:
    from ray._private.authentication.authentication_token_setup import _get_default_token_path

    assert _get_default_token_path().relative_to(Path.home()) == Path(".ray/auth_token")


def test_all_that_installing_takes_is_copied_to_the_nodes(prepared: dict[str, Any]) -> None:
    copied = {local for remote, local in prepared["file_mounts"].items() if "/tunekit/" in remote}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {"tunekit", "Makefile", "pyproject.toml", "constraints.txt", project["readme"], *project["license-files"]}
    assert needed <= copied
    assert not [name for name in copied - {project["readme"]} if not (ROOT / name).exists()]


def test_nodes_have_gpus(provider: str, prepared: dict[str, Any]) -> None:
    """On machines of one's own, Ray finds what they have."""
    machine = {"aws": ("InstanceType", r"[gp]\d"), "gcp": ("machineType", r"[ag]\d")}
    for node_type in prepared["available_node_types"].values() if provider in machine else ():
        key, family = machine[provider]
        assert re.match(family, node_type["node_config"][key])


def test_nodes_share_a_file_system(provider: str, prepared: dict[str, Any]) -> None:
    commands = prepared["initialization_commands"]
    assert any("/shared/runs" in command for command in commands)
    assert provider == "local" or any("mount -t nfs" in command for command in commands)


def test_workers_of_a_cloud_are_spot_machines_that_come_and_go(provider: str, prepared: dict[str, Any]) -> None:
    assert 0 < prepared["idle_timeout_minutes"] <= 30
    if provider == "local":
        return
    head, worker = (prepared["available_node_types"][name] for name in ("head", "worker"))
    assert worker["min_workers"] == 0
    for node_type, is_spot in ((head, False), (worker, True)):
        config = node_type["node_config"]
        market = config.get("InstanceMarketOptions", {}).get("MarketType") if provider == "aws" else None
        found = market or config.get("scheduling", {}).get("provisioningModel", "")
        assert (found.lower() == "spot") is is_spot


def test_the_dashboard_is_not_open_to_the_network(prepared: dict[str, Any]) -> None:
    assert any("--dashboard-host=127.0.0.1" in command for command in prepared["head_start_ray_commands"])


def test_no_network_that_ray_would_open_to_the_world_is_used(provider: str, prepared: dict[str, Any]) -> None:
    """Where none is named, Ray makes a security group with ssh for everybody, or takes a cloud's default network."""
    for node_type in prepared["available_node_types"].values() if provider != "local" else ():
        config = node_type["node_config"]
        if provider == "aws":
            assert len(config["SecurityGroupIds"]) == 1
        else:
            assert all(interface["subnetwork"].endswith("/tunekit") for interface in config["networkInterfaces"])


def test_no_rule_in_the_comments_lets_the_whole_world_in(text: str) -> None:
    assert "0.0.0.0/0" not in text
    for line in re.findall(r"^# .*(?:--cidr|--source-ranges).*$", text, re.MULTILINE):
        assert "checkip" in line or re.search(r"=10\.\d+\.\d+\.\d+/\d+", line), line


def test_the_cluster_launcher_is_part_of_the_installed_ray() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(requirement.startswith("ray[default") for requirement in project["dependencies"])
