"""What a backbone consists of tells it apart, not what its folder is called."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from tiny_models import folder_of

from tunekit.backbone import fingerprint, load, sources
from tunekit.backbone.tokenizers import local_tokenizer
from tunekit.errors import ConfigError
from tunekit.trial import BackboneConfig, Locations

FIRST, SECOND = "0123456789abcdef0123456789abcdef01234567", "f" * 40


def of(folder: Path) -> str:
    return fingerprint(BackboneConfig(name=folder.name), Locations(backbone_path=str(folder)))


def change_a_weight(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, path, metadata={"format": "pt"})


def test_two_folders_of_one_name_with_other_weights_are_told_apart(tmp_path: Path) -> None:
    one, other = (folder_of("bert", tmp_path / name / "model") for name in "ab")
    assert of(one) == of(other), "equal files, whatever the folder above"
    change_a_weight(other)
    assert of(one) != of(other)
    assert len(of(one)) == 16 and int(of(one), 16)


def test_replaced_weights_of_equal_size_and_time_are_noticed(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    path, before = folder / "model.safetensors", of(folder)
    facts = path.stat()
    change_a_weight(folder)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert path.stat().st_size == facts.st_size
    assert of(folder) != before


def test_a_touched_or_copied_file_with_equal_bytes_changes_nothing(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path / "one")
    before = of(folder)
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert of(folder) == before
    assert of(shutil.copytree(folder, tmp_path / "two")) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "config.json").write_text((f / "config.json").read_text() + "\n"),
        lambda f: (f / "tokenizer.json").write_text((f / "tokenizer.json").read_text() + "\n"),
        lambda f: (f / "tokenizer_config.json").write_text("{}"),
        lambda f: (f / "special_tokens_map.json").write_text("{}"),
        lambda f: (f / "sentencepiece.bpe.model").write_bytes(b"pieces"),
        lambda f: (f / "model.safetensors").rename(f / "model-00001-of-00001.safetensors"),
        lambda f: (f / "model.safetensors.index.json").write_text("{}"),
    ],
    ids=["config", "tokenizer", "its settings", "special tokens", "sentencepiece", "a file's name", "index"],
)
def test_every_file_that_decides_a_result_is_part_of_it(tmp_path: Path, change: Callable[[Path], object]) -> None:
    folder = folder_of("xlm-roberta", tmp_path)
    before = of(folder)
    change(folder)
    assert of(folder) != before


def test_what_decides_nothing_is_no_part_of_it(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    before = of(folder)
    for name in ("README.md", "generation_config.json", "training_args.bin", "pytorch_model.bin", "tf_model.h5"):
        (folder / name).write_text("{}")  # weights in another format are not read beside safetensors
    assert of(folder) == before


def test_weights_that_are_not_safetensors_count_where_they_are_read(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    before = of(folder)
    (folder / "pytorch_model.bin").write_bytes(b"others")
    assert of(folder) != before


def test_no_weights_are_loaded_and_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of("bert", tmp_path)
    (folder / "model.safetensors").write_bytes(b"torn")  # nothing that could be loaded
    before = of(folder)
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file was read again"))
    assert of(folder) == before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder '.*nowhere'"):
        of(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match=r"cannot load it from .*gone"):
        of(tmp_path)


def hub_cache(root: Path, hub_id: str, commits: dict[str, str]) -> Path:
    """A cache as huggingface_hub lays it out, with one snapshot of a tiny model for each commit; `commits` by ref."""
    repository = root / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    for ref, commit in commits.items():
        (repository / "refs" / ref).write_text(commit)
        folder_of("bert", repository / "snapshots" / commit)
    return repository


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's files, for this test alone."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    sources._commit.cache_clear()
    return tmp_path / "hub"


def test_a_hub_id_is_known_by_the_commit_that_its_revision_resolves_to(hub: Path) -> None:
    hub_cache(hub, "someone/tiny", {"main": FIRST, "v2": SECOND})
    for revision, commit in ((None, FIRST), ("main", FIRST), ("v2", SECOND), (SECOND, SECOND)):
        config = BackboneConfig(name="someone/tiny", revision=revision)
        assert fingerprint(config, Locations()) == f"commit:{commit}"


def test_what_is_loaded_is_of_the_commit_that_the_fingerprint_names(hub: Path) -> None:
    repository = hub_cache(hub, "someone/tiny", {"main": FIRST, "v2": SECOND})
    change_a_weight(repository / "snapshots" / SECOND)
    config = BackboneConfig(name="someone/tiny")
    assert fingerprint(config, Locations()) == f"commit:{FIRST}"
    before = load(config, Locations()).state_dict()
    (repository / "refs" / "main").write_text(SECOND)  # the branch moves while the process runs
    assert fingerprint(config, Locations()) == f"commit:{FIRST}"
    after = load(config, Locations()).state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_a_hub_id_that_is_not_in_reach_says_what_to_do(hub: Path) -> None:
    hub_cache(hub, "someone/tiny", {"main": FIRST})
    for name, revision in (("someone/other", None), ("someone/tiny", "v3")):
        with pytest.raises(ConfigError, match=r"hub id, and can the hub be reached\? A local folder also works"):
            fingerprint(BackboneConfig(name=name, revision=revision), Locations())


def test_a_folder_of_the_hubs_cache_is_known_by_its_content(hub: Path, tmp_path: Path) -> None:
    repository = hub_cache(hub, "someone/tiny", {"main": FIRST})
    snapshot = repository / "snapshots" / FIRST
    assert of(snapshot) == of(folder_of("bert", tmp_path / "own"))
    assert json.loads((snapshot / "config.json").read_text())["model_type"] == "bert"


# The tokenizer alone


def test_a_tokenizer_is_read_from_a_folder_and_from_the_copy_of_a_hub_model(hub: Path, tmp_path: Path) -> None:
    hub_cache(hub, "someone/tiny", {"main": FIRST})
    expected = load(BackboneConfig(name="someone/tiny"), Locations()).tokenizer.get_vocab()
    for config, locations in (
        (BackboneConfig(name="someone/tiny"), Locations()),
        (BackboneConfig(name="tiny"), Locations(backbone_path=str(folder_of("bert", tmp_path / "tiny")))),
    ):
        found = local_tokenizer(config, locations)
        assert found is not None and found.get_vocab() == expected


def test_a_hub_models_tokenizer_that_is_not_on_this_machine_is_none(hub: Path) -> None:
    hub_cache(hub, "someone/tiny", {"main": FIRST})
    assert local_tokenizer(BackboneConfig(name="someone/other"), Locations()) is None
    assert local_tokenizer(BackboneConfig(name="someone/tiny", revision="v3"), Locations()) is None


def test_a_folder_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ConfigError, match=r"backbone 'tiny': .*tokenizer"):
        local_tokenizer(BackboneConfig(name="tiny"), Locations(backbone_path=str(folder)))
