"""The manifest for KubeRay: its fields exist, it asks for what the sweep takes, and nothing secret or open is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from command_line import CommandLine, Result

from tunekit.cluster.render.pods import IMAGE
from tunekit.cluster.render.words import RAY_VERSION
from tunekit.sweep import load_sweep

ROOT = Path(__file__).resolve().parents[1]
SWEEP = """\
# what we look for
task: {name: udpos, target_languages: [de], data_dir: data/xtreme}
backbone: xlm-roberta-base
arms:
  ptuning_v2: {method: ptuning_v2, space: {prompt_length: {low: 8, high: 32}}}
search: {num_trials: 8}
resources: {cpu: 2, gpu: 0.5, memory: 6GiB}
"""


@pytest.fixture
def render(tunekit: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it with the options; gives the result of the command."""
    monkeypatch.chdir(tmp_path)
    Path("udpos.yaml").write_text(SWEEP)

    def call(*options: str) -> Result:
        return tunekit("render", "kuberay", "udpos.yaml", *options)

    return call


def documents(result: Result) -> dict[str, Any]:
    """The documents of a manifest by their kind."""
    assert result.code == 0, result.err
    return {document["kind"]: document for document in yaml.safe_load_all(result.out)}


def cluster_of(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = documents(result)["RayJob"]["spec"]["rayClusterSpec"]
    return found


def containers(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"]["containers"][0] for group in groups]


FULL = [
    *("--storage-size=100Gi", "--storage-class=nfs", "--namespace=lab", "--service-account=trainer"),
    *("--secret=HF_TOKEN=hub/token", "--env=DATA=/shared/data", "--node-selector=cloud.google.com/gke-spot=true"),
    "--image=registry.example:5000/tunekit:7",
]


@pytest.mark.parametrize("options", [[], FULL, ["--root=s3://bucket/runs"]], ids=["plain", "full", "bucket"])
def test_every_field_is_one_that_kuberay_documents(options: list[str], render: Any) -> None:
    schema = yaml.safe_load((ROOT / "tests/data/rayjob_schema.yaml").read_text())
    jsonschema.validate(documents(render(*options))["RayJob"], schema)


def test_a_misspelt_field_would_be_refused(render: Any) -> None:
    schema = yaml.safe_load((ROOT / "tests/data/rayjob_schema.yaml").read_text())
    job = documents(render())["RayJob"]
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volume"] = []
    with pytest.raises(jsonschema.ValidationError, match="volume"):
        jsonschema.validate(job, schema)


def test_workers_hold_what_the_trials_of_the_sweep_take(render: Any) -> None:
    cluster = cluster_of(render("--workers=6", "--gpus=2"))
    group = cluster["workerGroupSpecs"][0]
    assert (group["minReplicas"], group["maxReplicas"]) == (0, 2), "four trials share two GPUs"
    limits = containers(cluster)[1]["resources"]["limits"]
    assert limits == {"cpu": "8", "memory": "26Gi", "nvidia.com/gpu": "2"}
    assert containers(cluster)[1]["resources"]["requests"] == limits


def test_the_driver_shares_no_core_with_trials_and_runs_the_sweep_on_the_shared_storage(render: Any) -> None:
    made = documents(render("--workers=3"))
    entrypoint = made["RayJob"]["spec"]["entrypoint"]
    assert entrypoint == (
        "env -C /shared tunekit sweep /etc/tunekit/udpos.yaml --name udpos --root /shared/runs --workers 3 "
        "--address auto"
    )
    cluster = made["RayJob"]["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for container in containers(cluster):
        assert {"name": "shared", "mountPath": "/shared"} in container["volumeMounts"]


def test_the_command_in_the_pod_is_one_that_tunekit_knows(render: Any) -> None:
    import typer

    from tunekit.cli import app

    command: Any = typer.main.get_command(app)
    words = documents(render())["RayJob"]["spec"]["entrypoint"].split()
    assert words[3] == "tunekit"
    known = {option for parameter in command.commands[words[4]].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_cluster_asks_for_a_token_goes_when_it_is_done_and_opens_no_port_to_the_world(render: Any) -> None:
    spec = documents(render())["RayJob"]["spec"]
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["rayClusterSpec"]["enableInTreeAutoscaling"] is True
    assert spec["rayClusterSpec"]["autoscalerOptions"]["idleTimeoutSeconds"] > 0
    assert spec["rayClusterSpec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    text = render().out
    assert not re.search(r"LoadBalancer|NodePort|hostNetwork|hostPort|Ingress", text)


def test_the_sweep_file_travels_as_it_was_written_and_reads_the_same(render: Any, tmp_path: Path) -> None:
    assert documents(render())["ConfigMap"]["data"] == {"udpos.yaml": SWEEP}
    changed = documents(render("--set", "search.num_trials=2", "--set", "fixed.learning_rate=1.0e-5"))["ConfigMap"]
    (tmp_path / "there.yaml").write_text(changed["data"]["udpos.yaml"])
    there = load_sweep("there.yaml", name="udpos")
    here = load_sweep("udpos.yaml", overrides=["search.num_trials=2", "fixed.learning_rate=1.0e-5"])
    assert there.definition == here.definition


def test_published_figures_travel_with_the_sweep_file(render: Any, tmp_path: Path) -> None:
    (tmp_path / "figures.csv").write_text(
        "method,language,metric,split,value,source\nmpt,de,accuracy,test,0.5,a paper\n"
    )
    (tmp_path / "udpos.yaml").write_text(SWEEP + "references: figures.csv\n")
    made = documents(render())
    data = made["ConfigMap"]["data"]
    folder = tmp_path / "pod"
    folder.mkdir()
    for volume in made["RayJob"]["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]:
        for item in volume.get("configMap", {}).get("items", []):
            (folder / item["path"]).write_text(data[item["key"]])
    assert load_sweep(folder / "udpos.yaml").references == load_sweep("udpos.yaml").references != ()


def test_a_secret_stands_in_the_manifest_by_its_name_alone(render: Any) -> None:
    made = render("--secret", "HF_TOKEN=hub/token")
    for container in containers(cluster_of(made)):
        reference = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
        assert reference in container["env"]
    refused = render("--env", "HF_TOKEN=hf_abcdef")
    assert refused.code == 2
    assert "--secret HF_TOKEN=SECRET/KEY" in refused.err
    assert "hf_abcdef" not in refused.err + refused.out


def test_the_images_and_rays_version_are_pinned(render: Any) -> None:
    made = render()
    assert {container["image"] for container in containers(cluster_of(made))} == {IMAGE}
    assert cluster_of(made)["rayVersion"] == RAY_VERSION
    for image in ("tunekit", "tunekit:latest", "registry.example:5000/tunekit"):
        refused = render("--image", image)
        assert refused.code == 2, image
        assert "an image with a version" in refused.err


def test_what_was_guessed_and_what_is_needed_is_said_in_comments(render: Any) -> None:
    comments = "\n".join(line for line in render().out.splitlines() if line.startswith("#"))
    assert "4 trials at once (--workers)" in comments
    assert "data/xtreme" in comments
    assert f"docker build -f clusters/Dockerfile -t {IMAGE} ." in " ".join(comments.replace("\n#", "").split())
    said = "\n".join(line for line in render("--workers=2", "--gpus=1").out.splitlines() if line.startswith("#"))
    assert "Guessed" not in said


def test_a_comment_cannot_end_where_a_name_has_a_line_break(render: Any, tmp_path: Path) -> None:
    (tmp_path / "udpos.yaml").write_text(SWEEP.replace("data/xtreme", '"data\\nkind: Pod"'))
    assert set(documents(render())) == {"ConfigMap", "RayJob"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gpus=1", "--set=resources.gpu=2"], "a machine is to have any CPU, 1 GPU"),
        (["--gpus=1", "--set=resources.gpu=0"], "no trial would use a GPU"),
        (["--cpus=1"], "a trial takes 2 CPU"),
        (["--root=runs"], "--root is 'runs', must be a folder under /shared"),
        (["--root=/shared/../etc"], "must be a folder under /shared"),
        (["--storage=Mine!"], "--storage is 'Mine!'"),
        (["--storage-size=plenty"], "--storage-size is 'plenty'"),
        (["--storage-class=nfs"], "--storage-class has no effect"),
        (["--root=s3://b/r", "--storage-size=1Gi"], "--storage-size has no effect"),
        (["--env=DATA"], "expected NAME=VALUE"),
        (["--env=A=1", "--secret=A=b/c"], "--env and --secret both give A"),
        (["--secret=A=b"], "expected --secret A=SECRET/KEY"),
        (["--set=task.data_dir=$DATA/xtreme"], "--env DATA=/shared/..."),
        (["--workers=0"], "--workers is 0"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_what_would_be_right(options: list[str], said: str, render: Any) -> None:
    refused = render(*options)
    assert refused.code == 2
    assert said in " ".join(refused.err.split())
    assert refused.out == ""


def test_the_manifest_is_written_to_a_file_but_not_on_a_dry_run(render: Any, tmp_path: Path) -> None:
    shown = render("--out", "job.yaml", "--dry-run")
    assert shown.code == 0
    assert "would write job.yaml" in shown.err
    assert not (tmp_path / "job.yaml").exists()
    assert render("--out", "job.yaml").out == "written to job.yaml\n"
    assert (tmp_path / "job.yaml").read_text() == shown.out == render().out


def test_other_names_are_other_jobs_also_where_kubernetes_knows_no_such_letters(render: Any) -> None:
    given = ("a-b", "a_b", "A-b", "a.b", "a" * 60, "a" * 60 + "b")
    names = [documents(render("--name", name))["RayJob"]["metadata"]["name"] for name in given]
    assert len(set(names)) == len(given) and names[0] == "tunekit-a-b"
    assert all(re.fullmatch(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", name) for name in names)


def test_a_long_name_is_cut_to_what_a_rayjob_may_be_called(render: Any) -> None:
    name = documents(render("--name", "Mein_Suchlauf." * 6))["RayJob"]["metadata"]["name"]
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,45}[a-z0-9])?", name)
