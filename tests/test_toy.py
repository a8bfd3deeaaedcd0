"""The generated world, its tasks, and the tiny backbones that are pretrained on its text."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertForMaskedLM, XGLMForCausalLM

from tunekit.backbone import load as load_backbone
from tunekit.errors import ConfigError, StorageError
from tunekit.methods.finetune import FinetuneConfig
from tunekit.methods.ptuning_v2 import PTuningV2Config
from tunekit.schema import to_json
from tunekit.tasks import PairExample, Task, TokenExample, load
from tunekit.toy import backbones as toy_backbones
from tunekit.toy import tasks as toy
from tunekit.toy import world as toy_world
from tunekit.training import run_trial
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

LANGUAGES = tuple(toy_world.LANGUAGES)
SOURCE, *TARGETS = LANGUAGES
NAMES = ("toy_tagging", "toy_pair")
SPLITS: tuple[Any, ...] = ("train", "dev", "test")
QUICK = replace(toy_backbones.BERT, num_updates=2, num_texts=200)
QUICK_XGLM = replace(toy_backbones.XGLM, num_updates=2, num_texts=200)
every_task = pytest.mark.parametrize("name", NAMES)
every_recipe = pytest.mark.parametrize("recipe", [QUICK, QUICK_XGLM], ids=["bert", "xglm"])


@cache
def task_of(name: str) -> Task:
    config = TaskConfig(name=name, source_language=SOURCE, target_languages=tuple(TARGETS))
    return load(config, Locations())


def texts_of(task: Task, split: Any, language: str) -> list[str]:
    return [
        " ".join(e.words) if isinstance(e, TokenExample) else f"{e.text_a} | {e.text_b}"
        for e in task.examples(split, language)
    ]


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Locations:
    return Locations(cache_dir=str(tmp_path_factory.mktemp("cache")))


# The tasks


@every_task
def test_a_toy_task_has_every_split_in_every_language(name: str) -> None:
    task = task_of(name)
    task.validate(target_dev=True)
    sizes = {split: {len(task.examples(split, language)) for language in LANGUAGES} for split in SPLITS}
    assert sizes == {
        split: {size} for split, size in (toy.NUM_SENTENCES if task.kind == "token" else toy.NUM_PAIRS).items()
    }


@every_task
def test_no_text_is_in_two_splits(name: str) -> None:
    task = task_of(name)
    for language in LANGUAGES:
        train, dev, test = (set(texts_of(task, split, language)) for split in SPLITS)
        assert not (train & dev or train & test or dev & test)


@every_task
def test_the_majority_label_knows_little(name: str) -> None:
    task = task_of(name)
    assert all(task.majority("test", language)["accuracy"] < 0.4 for language in LANGUAGES)
    assert {label for e in task.examples("train", SOURCE) for label in toy_labels(e)} == set(task.labels)


def toy_labels(example: Any) -> tuple[str, ...]:
    return (example.label,) if isinstance(example, PairExample) else example.labels


@pytest.mark.parametrize(("name", "expected"), [("toy_tagging", "9c2aee8929b4"), ("toy_pair", "577b4760bd22")])
def test_the_same_data_is_generated_on_every_machine_and_in_every_process(name: str, expected: str) -> None:
    rows = [task_of(name).examples(split, language) for split in SPLITS for language in LANGUAGES]
    assert hashlib.sha256(repr(rows).encode()).hexdigest()[:12] == expected


def test_a_third_of_the_pairs_has_each_label() -> None:
    task = task_of("toy_pair")
    for split in SPLITS:
        counts = Counter(label for e in task.examples(split, SOURCE) for label in toy_labels(e))
        assert len(set(counts.values())) == 1


def test_words_and_tags_are_alike_in_number_but_not_in_order_across_languages() -> None:
    task = task_of("toy_tagging")
    rows = [task.examples("test", language) for language in LANGUAGES]
    for same in zip(*rows, strict=True):
        assert len({tuple(sorted(toy_labels(example))) for example in same}) == 1
    for language in TARGETS:
        pairs = zip(rows[0], task.examples("test", language), strict=True)
        assert sum(toy_labels(a) != toy_labels(b) for a, b in pairs) > 100


def test_languages_share_no_word_but_names_digits_and_punctuation() -> None:
    words = {
        language: {w.form for m in islice(toy_world.meanings("test"), 300) for w in toy_world.render(m, language)}
        for language in LANGUAGES
    }
    shared = set.intersection(*words.values())
    assert {".", "Mira", "12"} <= shared
    assert all(word in toy_world.lexicons()[SOURCE] or word in ".!" for word in shared)
    assert all(words[a] & words[b] == shared for a in LANGUAGES for b in LANGUAGES if a != b)


def test_a_noun_and_a_verb_may_look_the_same_so_that_context_matters() -> None:
    tags: dict[str, set[str]] = {}
    for example in task_of("toy_tagging").examples("train", SOURCE):
        assert isinstance(example, TokenExample)
        for word, tag in zip(example.words, example.labels, strict=True):
            tags.setdefault(word, set()).add(tag)
    assert {"NOUN", "VERB"} in tags.values()


def test_an_altered_meaning_differs_and_keeps_its_shape() -> None:
    rng = random.Random(0)
    for meaning in islice(toy_world.meanings("text"), 200):
        other = toy_world.altered(rng, meaning)
        assert other != meaning
        changed = set(toy_world.render(other, SOURCE)) ^ set(toy_world.render(meaning, SOURCE))
        assert len({word.slot for word in changed}) == 1


def test_parallel_text_says_the_same_in_each_language() -> None:
    rows = toy.parallel_text((SOURCE, "cimu"), 50)
    assert len(rows) == 50
    meanings = islice(toy_world.meanings("text"), 50)
    for meaning, (first, second) in zip(meanings, rows, strict=True):
        assert (first, second) == (toy_world.text(meaning, SOURCE), toy_world.text(meaning, "cimu"))
    unlabelled = {row[0] for row in toy.parallel_text((SOURCE,), 3000)}
    assert not unlabelled & {text for split in SPLITS for text in texts_of(task_of("toy_tagging"), split, SOURCE)}


def test_an_unknown_toy_language_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cimu'"):
        toy.parallel_text(("alo", "cimo"), 1)
    task = load(TaskConfig(name="toy_pair", source_language="al"), Locations())
    with pytest.raises(ConfigError, match="did you mean 'alo'"):
        task.examples("train", "al")


@pytest.mark.parametrize(
    ("task", "where", "key"),
    [
        ({"draw": "files", "shots": 4}, {}, "draw"),
        ({"metric": "f1"}, {}, "metric"),
        ({"data_name": "other"}, {}, "data_name"),
        ({}, {"data_dir": "data"}, "data_dir"),
    ],
)
def test_a_key_without_effect_on_a_toy_task_is_an_error(task: Any, where: Any, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        load(TaskConfig(name="toy_tagging", source_language=SOURCE, **task), Locations(**where))


# The backbones


@every_recipe
def test_a_toy_backbone_fills_its_model_and_has_a_fast_tokenizer(recipe: Any, cached: Locations) -> None:
    folder = toy_backbones.folder(recipe, cached)
    model_class: Any = BertForMaskedLM if recipe.architecture == "bert" else XGLMForCausalLM
    model, facts = model_class.from_pretrained(folder, output_loading_info=True)
    assert not facts["missing_keys"] and not facts["unexpected_keys"] and not facts["mismatched_keys"]
    assert model.num_parameters() < 2_000_000
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    backbone = load_backbone(BackboneConfig(name="toy"), replace(cached, backbone_path=str(folder)))
    assert backbone.is_causal == (recipe.architecture == "xglm")
    assert backbone.num_layers == 4


def test_some_words_have_several_pieces_and_none_is_unknown(cached: Locations) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toy_backbones.folder(QUICK, cached))
    words = [w for e in task_of("toy_tagging").examples("dev", "cimu") for w in e.words]  # type: ignore[union-attr]
    lengths = [len(tokenizer.tokenize(word)) for word in words]
    assert 0.05 < sum(length > 1 for length in lengths) / len(words) < 0.5
    assert tokenizer.unk_token_id not in tokenizer(" ".join(words))["input_ids"]
    assert tokenizer.decode(tokenizer(" ".join(words))["input_ids"], skip_special_tokens=True) == " ".join(words)
    pair = tokenizer(words[0], words[1])
    assert tokenizer.convert_ids_to_tokens(pair["input_ids"]).count("</s>") == 2
    assert sorted(set(pair["token_type_ids"])) == [0, 1]


def test_words_of_one_meaning_are_neighbours_from_the_start(cached: Locations) -> None:
    folder = toy_backbones.folder(QUICK, cached)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = BertForMaskedLM.from_pretrained(folder).get_input_embeddings().weight
    rows = torch.nn.functional.normalize(rows, dim=1)
    nearest, num_words = 0, 0
    for gloss, stem in toy_world.lexicons()[SOURCE].items():
        ids = [
            tokenizer(word, add_special_tokens=False)["input_ids"]
            for word in (stem, toy_world.lexicons()["evin"][gloss])
        ]
        if len(ids[0]) == len(ids[1]) == 1 and ids[0] != ids[1]:
            near = (rows @ rows[ids[0][0]]).topk(8).indices  # the piece itself and its four translations are among them
            nearest, num_words = nearest + int(ids[1][0] in near), num_words + 1
    assert num_words > 20 and nearest / num_words > 0.8


@every_recipe
def test_building_a_backbone_twice_gives_the_same_bytes_and_leaves_no_trace(
    recipe: Any, cached: Locations, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    state, num_threads = torch.get_rng_state(), torch.get_num_threads()
    python_state = random.getstate()
    with torch.no_grad():
        toy_backbones.build(recipe, tmp_path / "again")
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert (torch.get_num_threads(), random.getstate()) == (num_threads, python_state)
    first = toy_backbones.folder(recipe, cached)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (tmp_path / "again" / name).read_bytes() == (first / name).read_bytes(), name


def test_progress_is_told_after_every_update_and_nothing_is_printed(tmp_path: Path, capfd: Any) -> None:
    seen: list[tuple[int, int]] = []
    toy_backbones.build(QUICK, tmp_path, lambda done, num_updates, loss: seen.append((done, num_updates)))
    assert seen == [(1, 2), (2, 2)]
    assert capfd.readouterr() == ("", "")


# The cache


def _fake_build(recipe: Any, into: Path, progress: Any = None) -> None:
    into.mkdir()
    (into / "config.json").write_text("{}")
    with (into.parent.parent / "builds.txt").open("a") as file:
        file.write("built\n")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache whose builds are instant and leave a line each in ``builds.txt``."""
    monkeypatch.setattr(toy_backbones, "build", _fake_build)
    return tmp_path


def _builds(root: Path) -> int:
    return len((root / "builds.txt").read_text().splitlines())


def test_a_cached_backbone_is_not_built_again(counted: Path) -> None:
    where = Locations(cache_dir=str(counted))
    assert toy_backbones.bert_folder(where) == toy_backbones.bert_folder(where)
    assert _builds(counted) == 1


def test_each_recipe_has_its_own_folder(counted: Path) -> None:
    where = Locations(cache_dir=str(counted))
    recipes = (toy_backbones.BERT, toy_backbones.XGLM, QUICK, replace(QUICK, seed=1))
    assert len({toy_backbones.folder(recipe, where) for recipe in recipes}) == 4


@pytest.mark.parametrize("harm", ["cut", "lost", "no manifest", "torn manifest"])
def test_a_torn_cache_is_built_again(harm: str, counted: Path) -> None:
    where = Locations(cache_dir=str(counted))
    folder = toy_backbones.bert_folder(where)
    if harm == "cut":
        (folder / "config.json").write_text("{")
    elif harm == "lost":
        (folder / "config.json").unlink()
    elif harm == "no manifest":
        (folder / toy_backbones.MANIFEST).unlink()
    else:
        (folder / toy_backbones.MANIFEST).write_text('{"config')
    assert toy_backbones.bert_folder(where) == folder
    assert json.loads((folder / "config.json").read_text()) == {}
    assert _builds(counted) == 2
    assert sorted(path.name for path in counted.iterdir() if not path.name.startswith(".")) == [
        "builds.txt",
        folder.name,
    ]


def test_a_build_that_dies_leaves_no_folder(counted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(recipe: Any, into: Path, progress: Any = None) -> None:
        into.mkdir()
        (into / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(toy_backbones, "build", dies)
    with pytest.raises(KeyboardInterrupt):
        toy_backbones.bert_folder(Locations(cache_dir=str(counted)))
    assert [path.name for path in counted.iterdir() if not path.name.endswith(".lock")] == []


def _build_in_a_process(root: str, answers: Any) -> None:
    toy_backbones.build = _fake_build
    answers.put(str(toy_backbones.bert_folder(Locations(cache_dir=root))))


def test_processes_that_race_share_one_build(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()
    racers = [context.Process(target=_build_in_a_process, args=(str(tmp_path), answers)) for _ in range(4)]
    for racer in racers:
        racer.start()
    folders = {answers.get(timeout=30) for _ in racers}
    for racer in racers:
        racer.join()
    assert len(folders) == 1
    assert _builds(tmp_path) == 1


def test_the_cache_is_where_the_user_says(counted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEKIT_CACHE", str(counted / "named"))
    assert toy_backbones.bert_folder(Locations()).parent == counted / "named"
    assert toy_backbones.bert_folder(Locations(cache_dir=str(counted / "here"))).parent == counted / "here"
    monkeypatch.delenv("TUNEKIT_CACHE")
    monkeypatch.setenv("HOME", str(counted))
    monkeypatch.setattr(toy_backbones, "build", lambda recipe, into, progress: into.mkdir())
    assert toy_backbones.bert_folder(Locations()).parent == counted / ".cache" / "tunekit"


def test_a_cache_that_cannot_be_written_is_a_storage_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="TUNEKIT_CACHE"):
        toy_backbones.bert_folder(Locations(cache_dir=str(tmp_path / "file" / "below")))


# Transfer


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["toy-bert", "toy-xglm"])
@pytest.mark.parametrize(
    ("name", "method", "learning_rate"),
    [("toy_tagging", "finetune", 5e-4), ("toy_tagging", "ptuning_v2", 3e-2), ("toy_pair", "finetune", 5e-4)],
)
@pytest.mark.timeout(900)
def test_what_is_learnt_in_one_language_carries_over_to_all(
    backbone: str, name: str, method: str, learning_rate: float, tmp_path: Path
) -> None:
    options = FinetuneConfig() if method == "finetune" else PTuningV2Config()
    trial = TrialConfig(
        task=TaskConfig(name=name, source_language=SOURCE, target_languages=tuple(TARGETS)),
        backbone=BackboneConfig(name=backbone),
        method=method,
        options=to_json(options),
        training=TrainingConfig(learning_rate=learning_rate, epochs=4 if name == "toy_tagging" else 6, max_length=64),
        seed=10,
    )
    outcome = run_trial(trial, folder=tmp_path, locations=Locations(), test=True)
    assert outcome.state == "COMPLETE", outcome.reason
    for language in LANGUAGES:
        majority = task_of(name).majority("test", language)["accuracy"]
        margin = outcome.metrics[f"test/{language}/accuracy"] - majority
        assert margin > 0.15, f"{language}: {margin:+.3f} against always saying the most frequent label"
