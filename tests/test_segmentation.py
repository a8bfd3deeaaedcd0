"""Pieces split further: the same text, always the same pieces, for every method; counted, reported and refused."""

from __future__ import annotations

import copy
import csv
import pickle
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from builders import JournalBuilder, cells, definition
from command_line import CommandLine
from hypothesis import given, settings
from hypothesis import strategies as st
from spelling import spelling
from tiny_models import ARCHITECTURES, TAGS, backbone_of, examples_of, setting_of, task_of, tokenizer_of
from tiny_trials import TOKENS, train, trial
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tunekit import languages, reports
from tunekit.errors import ConfigError
from tunekit.export import FinishedTrial, export
from tunekit.journal import replay
from tunekit.methods import Method
from tunekit.methods.finetune import Finetune
from tunekit.methods.parts.granularity import granularity
from tunekit.methods.parts.rows import RowEncoder
from tunekit.methods.parts.segmentation import PieceSplitter
from tunekit.methods.parts.text_tokenizer import TextTokenizer
from tunekit.registry import METHODS, lookup
from tunekit.reports.contents.languages import has_words
from tunekit.schema import build, canonical_json, to_json
from tunekit.segmentation import Granularity, PieceSplit
from tunekit.sweep import Source, parse_sweep
from tunekit.tasks import PairExample, TokenExample
from tunekit.training import TrialRun, WorkerCache
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

WORDS = ("country", "company", "red", "unhappily", "猫", "犬", "now", "été", "Straße", "привет", "สวัสดี", "42", "a")
HALVES = ("coun", "##try", "count", "##ry", "com", "##pany", "un", "##happily")
TEXT = st.lists(st.sampled_from(WORDS) | st.text(max_size=8), min_size=1, max_size=12).map(" ".join)


def _wordpiece() -> Any:
    """Like mBERT's, with a decoder as mBERT has."""
    pieces = ["<unk>", *WORDS[:4], *HALVES, "now", "a"]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>")


TOKENIZERS = {
    **{name: tokenizer_of(name) for name in ARCHITECTURES},
    **{f"spelling-{name}": spelling(name, WORDS[:4]) for name in ("xglm", "bloom", "mt5")},
    "wordpiece": _wordpiece(),
}


def _splits(**languages: float) -> dict[str, PieceSplit]:
    return {language: PieceSplit(split=p) for language, p in languages.items()}


# -- the pieces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=30)
@given(text=TEXT, p=st.floats(0.01, 1.0))
def test_split_pieces_decode_to_the_text_that_whole_ones_decode_to(name: str, text: str, p: float) -> None:
    tokenizer = TOKENIZERS[name]
    own = TextTokenizer(tokenizer)
    (whole,), (split,) = own.tokens([text]), own.tokens([text], split=p)
    assert tokenizer.decode(split) == tokenizer.decode(whole)
    assert len(whole) <= len(split) <= 2 * len(whole)


def test_split_pieces_of_a_real_tokenizer_decode_to_the_same_text_and_are_more(shared: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shared / "models" / "mini-xlmr")
    own = TextTokenizer(tokenizer)
    generator = random.Random(1)
    texts = [" ".join(generator.choices(WORDS, k=generator.randint(1, 20))) for _ in range(200)]
    whole, finer = own.tokens(texts), own.tokens(texts, split=0.5)
    assert [tokenizer.decode(each) for each in whole] == [tokenizer.decode(each) for each in finer]
    assert 1.15 < sum(map(len, finer)) / sum(map(len, whole)) < 1.5


@pytest.mark.parametrize("name", ["xglm", "wordpiece", "spelling-bloom", "spelling-mt5"])
def test_a_text_has_the_same_pieces_whatever_was_read_before_and_in_every_process(name: str) -> None:
    texts = ["country unhappily red", "company", "a red company"]
    one, other = TextTokenizer(TOKENIZERS[name]), TextTokenizer(TOKENIZERS[name])
    torch.manual_seed(0), random.seed(0)
    first = one.tokens(texts, split=0.5)
    torch.manual_seed(1), random.seed(1)
    assert [other.tokens([text], split=0.5)[0] for text in reversed(texts)] == first[::-1]


def test_the_draw_is_a_fixed_function_of_text_and_place() -> None:
    """Frozen values: another hash would give trials of one name other texts."""
    splitter = PieceSplitter(TOKENIZERS["xglm"])
    assert [place is None for place in splitter.drawn("unhappily", 12, 0.5)] == [
        number not in (0, 1, 3, 4, 5, 7, 8) for number in range(12)
    ]
    assert splitter.drawn(" unhappily", 12, 0.5) == splitter.drawn("unhappily", 12, 0.5)


@given(text=TEXT, low=st.floats(0.01, 1.0), high=st.floats(0.01, 1.0))
def test_what_a_lower_probability_splits_a_higher_one_splits_alike(text: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    tokenizer = TOKENIZERS["spelling-bloom"]
    (whole,) = TextTokenizer(tokenizer).tokens([text])
    splitter = PieceSplitter(tokenizer)
    pairs = zip(splitter.split(text, whole, low), splitter.split(text, whole, high), strict=True)
    assert all(few == many for few, many in pairs if len(few) > 1)


@pytest.mark.parametrize("p", [0.25, 0.5, 1.0])
def test_the_share_of_pieces_drawn_is_the_probability(p: float) -> None:
    splitter = PieceSplitter(TOKENIZERS["xglm"])
    drawn = [place for n in range(500) for place in splitter.drawn(f"text {n}", 20, p)]
    assert sum(place is not None for place in drawn) / len(drawn) == pytest.approx(p, abs=0.02)


@pytest.mark.parametrize(
    ("name", "piece", "cuts"),
    [
        ("wordpiece", "country", {("coun", "##try"), ("count", "##ry")}),
        ("wordpiece", "unhappily", {("un", "##happily")}),
        ("xglm", "ly", {("l", "y")}),
        ("xglm", "▁cat", set()),
        ("xglm", "▁", set()),
        ("xglm", "猫", set()),
        ("xglm", "<unk>", set()),
        ("xglm", "</s>", set()),
    ],
)
def test_a_piece_is_split_where_both_parts_are_entries_that_carry_text(
    name: str, piece: str, cuts: set[tuple[str, str]]
) -> None:
    tokenizer = TOKENIZERS[name]
    found = PieceSplitter(tokenizer).cuts(tokenizer.convert_tokens_to_ids(piece))
    assert {tuple(tokenizer.convert_ids_to_tokens(list(cut))) for cut in found} == cuts


def test_a_piece_of_bytes_is_never_split_inside_a_character() -> None:
    tokenizer = TOKENIZERS["spelling-bloom"]
    own = TextTokenizer(tokenizer)
    for text in ("猫", "été", "привет", " 犬", "Straße"):
        for token in own.tokens([text], split=1.0)[0]:
            whole = token in own.tokens([text])[0]
            assert whole or "\ufffd" not in tokenizer.decode([token])


@pytest.mark.parametrize("reading", ["first_text", "first", "last", "mean"])
@pytest.mark.parametrize("name", ["xglm", "wordpiece", "spelling-bloom", "mt5", "xlm-roberta"])
def test_each_word_is_still_read_at_a_piece_that_carries_its_text(name: str, reading: str) -> None:
    tokenizer = TOKENIZERS[name]
    encoder = RowEncoder(
        tokenizer,
        kind="token",
        labels=TAGS,
        max_length=64,
        word_piece=reading,
        is_causal=False,
        has_segments=False,
    )
    words = ("country", "unhappily", "now", "red", "company")
    example = TokenExample(words, ("N",) * len(words))
    (plain,), (finer,) = encoder.encode_all([example])[0], encoder.encode_all([example], split=1.0)[0]
    assert len(finer.input_ids) > len(plain.input_ids) and finer.words == plain.words
    for word, before, after in zip(words, plain.reads, finer.reads, strict=True):
        seen, found = (
            [tokenizer.decode([row.input_ids[place]]).strip().removeprefix("##") for place in places]
            for row, places in ((plain, before), (finer, after))
        )
        assert all(text in word for text in found if text != "<unk>")
        assert any(found) or not any(seen)  # a lone "▁" is read only where it was before


# -- every method ----------------------------------------------------------------------------------------------------

BUILT_FOR = {"topro_zero_shot": ("bloom", {}), "icl": ("bloom", {"score": "mean"}), "generate_tags": ("mt5", {})}
VERBALIZER = {"N": "cat", "V": "dog", "X": "house"}


def _method(name: str, kind: str, segmentation: Any) -> Method:
    found = lookup("method", name)
    architecture, options = BUILT_FOR.get(name, ("xlm-roberta", {}))
    options = dict(options)
    fields = found.Config.__dataclass_fields__
    if "verbalizer" in fields:
        options["verbalizer"] = VERBALIZER
    if "prompt_length" in fields:
        options["prompt_length"] = 2
    if name == "mpt":
        options["alignment"] = "none"
    if name == "pct":
        options["distribution"] = "label_words"
    if name == "topro" or ("template" in fields and kind == "token" and name in ("soft_prompt", "mpt")):
        options["template"] = "{sentence} {word} {prompt} {mask}" if name != "topro" else "{sentence} {word} {mask}"
    task = task_of(kind)
    task.config = replace(task.config, target_languages=("de",))
    setting = setting_of(backbone_of(architecture), task, max_length=60)
    return found(build(found.Config, options, name), replace(setting, segmentation=segmentation))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_splits_the_language_that_is_named_and_no_other(name: str) -> None:
    kind = "pair" if "pair" in lookup("method", name).kinds else "token"
    plain, finer = (_method(name, kind, segmentation) for segmentation in (None, _splits(de=1.0)))
    examples = examples_of(kind)
    for language in ("en", None):
        assert finer.encode_all(examples, language=language) == plain.encode_all(examples, language=language)
    lengths = [
        sum(row.length for rows in method.encode_all(examples, language="de") for row in rows)
        for method in (plain, finer)
    ]
    assert lengths[1] > lengths[0]


class Unaware(Finetune):
    """A method that does not say that it splits pieces."""

    splits_pieces = False


def test_a_method_that_cannot_split_pieces_refuses_before_anything_runs() -> None:
    setting = replace(setting_of(backbone_of("bert"), task_of("token")), segmentation=_splits(en=0.5))
    with pytest.raises(ConfigError, match=r"segmentation: .* cannot split pieces"):
        Unaware(Unaware.Config(), setting)


# -- the key ---------------------------------------------------------------------------------------------------------


def _sweep(segmentation: Any, **changes: Any) -> Any:
    content = definition(backbone={"name": "mini", "path": "/models/mini", "segmentation": segmentation}, **changes)
    return parse_sweep(content, Source("f.yaml", {("backbone", "segmentation"): 3}), folders_must_exist=False)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"en": {"split": 1.5}}, "split is 1.5, must be a probability above 0 and at most 1"),
        ({"en": {"split": -0.1}}, "split is -0.1, must be"),
        ({"en": {"split": 0}}, "split is 0.0, must be .*leave the language out"),
        ({"en": {"split": "half"}}, "split: expected a number"),
        ({"en": {"splits": 0.5}}, "unknown key 'splits'"),
        ({"en": {}}, "missing key 'split'"),
        ({"en": 0.5}, "expected keys and values"),
        ({}, "segmentation is {}, must be"),
        ({"fr": {"split": 0.5}}, "'fr' is no language of the task"),
        ({"en": {"split": 0.5}, "d": {"split": 0.5}}, "'d' is no language of the task; did you mean 'de'"),
        ([], "expected keys and values"),
    ],
)
def test_a_segmentation_without_effect_or_sense_is_refused_where_it_stands(segmentation: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        _sweep(segmentation)
    assert str(error.value).startswith("f.yaml:3: backbone.segmentation")


def test_a_method_of_ones_own_that_cannot_split_is_refused_where_the_key_stands() -> None:
    arms = {"own": {"method": "test_segmentation:Unaware", "space": {"learning_rate": [1e-3]}}}
    with pytest.raises(ConfigError, match=r"f\.yaml:3: backbone\.segmentation: .*cannot split pieces"):
        _sweep({"en": {"split": 0.5}}, arms=arms)


def _trial(**splits: float) -> TrialConfig:
    backbone = BackboneConfig(name="mini", segmentation=_splits(**splits) or None)
    task = TaskConfig(name="udpos", target_languages=("de", "zh"))
    return TrialConfig(task=task, backbone=backbone, method="finetune", training=TrainingConfig(), seed=1)


def test_the_segmentation_is_a_part_of_a_trials_name_and_its_order_is_not() -> None:
    names = {
        _trial(**splits).trial_id for splits in ({}, {"en": 0.5}, {"en": 0.25}, {"de": 0.5}, {"en": 0.5, "de": 0.5})
    }
    assert len(names) == 5
    assert _trial(en=0.5, de=1).trial_id == _trial(de=1.0, en=0.5).trial_id
    again = build(TrialConfig, to_json(_trial(en=0.5)), "again")
    assert again == _trial(en=0.5) and again.trial_id == _trial(en=0.5).trial_id


def test_the_segmentation_of_a_backbone_cannot_be_changed_and_can_be_sent() -> None:
    given = _splits(en=0.5)
    backbone = BackboneConfig(name="mini", segmentation=given)
    given["de"] = PieceSplit(split=1.0)
    assert dict(backbone.segmentation or {}) == _splits(en=0.5)
    with pytest.raises(TypeError):
        backbone.segmentation["de"] = PieceSplit(split=1.0)  # type: ignore[index]
    assert pickle.loads(pickle.dumps(backbone)) == copy.deepcopy(backbone) == backbone
    assert hash(pickle.loads(pickle.dumps(backbone))) == hash(backbone)
    assert canonical_json(backbone.segmentation) == '{"en":{"split":0.5}}'


def test_a_trial_of_a_language_that_its_task_lacks_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match="'fr' is no language of the task"):
        _trial(fr=0.5)


# -- tokens a word ---------------------------------------------------------------------------------------------------


def test_granularity_counts_every_word_as_often_as_it_stands_there() -> None:
    tokenizer = TOKENIZERS["xglm"]
    examples = [TokenExample(("unhappily", "red"), ("X", "X")), TokenExample(("unhappily",), ("X",))]
    found = granularity(examples, tokenizer)
    assert found == Granularity(num_tokens=7, num_words=3, num_characters=21, are_words_given=True)
    finer = granularity(examples, tokenizer, 1.0)
    assert (finer.num_tokens, finer.num_split, finer.num_whole) == (9, 2, 5)
    assert finer.per_word == 3.0 and finer.per_character == pytest.approx(9 / 21)


@pytest.mark.parametrize("split", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["xglm", "wordpiece", "spelling-bloom"])
def test_granularity_of_pairs_is_that_of_their_rows_without_special_tokens(name: str, split: float) -> None:
    examples = [PairExample("a red country", "unhappily", "N"), PairExample("company", "a red country", "V")]
    found = granularity(examples, TOKENIZERS[name], split)
    tokens = TextTokenizer(TOKENIZERS[name]).tokens([t for e in examples for t in (e.text_a, e.text_b)], split=split)
    assert (found.num_tokens, found.num_words) == (sum(map(len, tokens)), 8)
    assert not found.are_words_given and found.num_characters == 11 * 2 + 9 + 7


def test_a_language_without_spaces_has_tokens_a_word_only_where_words_are_given() -> None:
    found = Granularity(num_tokens=4, num_words=2, num_characters=8, are_words_given=False)
    given = replace(found, are_words_given=True)
    for language in ("zh", "ja", "th", "zh-Hant", "my", "lo", "km", "bo", "yue"):
        assert not has_words(found, language) and has_words(given, language)
    for language in ("en", "vi", "ko", "xx", "ar"):
        assert has_words(found, language)


def _tested(folder: Path, spoken: dict[str, dict[str, Any]], **changes: Any) -> JournalBuilder:
    """One tested point on two seeds whose journal says how finely the languages are written."""
    sweep = JournalBuilder(folder, definition(**changes))
    number = None
    for seed, phase in ((10, "search"), (42, "finalise")):
        trial_id = sweep.complete("finetune", {"learning_rate": 1e-3}, 0.9, seed=seed, number=number, phase=phase)
        number = 0
        scores = {f"test/{name}/accuracy": 0.5 + seed / 1000 for name in ("en", "de", "zh", "sw")}
        more = {"granularity": spoken} if spoken else {}
        sweep.journal.append("tested", trial_id=trial_id, scores=scores, baselines={}, num_examples={}, **more)
    return sweep


SPOKEN = {
    name: to_json(Granularity(num_tokens=30, num_words=words, num_characters=60, are_words_given=False, num_whole=1))
    for name, words in (("en", 20), ("de", 12), ("zh", 3))
}


def _written(sweep: JournalBuilder) -> str:
    out = sweep.journal.folder.report
    reports.write(replay(sweep.journal.path), out)
    return (out / "report.md").read_text(encoding="utf-8")


def test_the_report_shows_tokens_a_word_beside_the_scores(tmp_path: Path) -> None:
    markdown = _written(_tested(tmp_path, SPOKEN))
    assert cells(markdown, "de", header=["tokens a word"]) == {
        "language": "de", "tokens a word": "2.50", "finetune": "52.6 ± 2.3",
    }  # fmt: skip
    assert cells(markdown, "zh", header=["tokens a word"])["tokens a word"] == "0.50 a character"


def test_results_csv_has_tokens_a_word_and_a_character_of_test_rows(tmp_path: Path) -> None:
    sweep = _tested(tmp_path, SPOKEN)
    _written(sweep)
    with (sweep.journal.folder.report / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["seed"] == "10"]
    found = {(row["split"], row["language"]): (row["tokens_per_word"], row["tokens_per_character"]) for row in rows}
    assert found["test", "en"] == ("1.5", "0.5") and found["test", "zh"] == ("", "0.5")
    assert found["dev", "en"] == found["test", "sw"] == ("", "")


def test_a_journal_that_does_not_say_how_finely_texts_are_written_gives_a_report_without_it(tmp_path: Path) -> None:
    markdown = _written(_tested(tmp_path, {}))
    assert "Tokens a word" not in markdown and "finetune" in markdown


def test_arms_that_write_a_language_otherwise_have_a_column_of_their_own(tmp_path: Path) -> None:
    finer = {"name": "mini", "path": "/models/mini", "segmentation": {"en": {"split": 1.0}}}
    arms = {
        "plain": {"method": "finetune", "space": {"learning_rate": [1e-3]}},
        "finer": {"method": "finetune", "space": {"learning_rate": [1e-3]}, "backbone": finer},
    }
    sweep = JournalBuilder(tmp_path, definition(arms=arms, finalise={"top": 1, "seeds": [10]}))
    for arm, tokens, p in (("plain", 30, 1e-3), ("finer", 55, 2e-3)):
        trial_id = sweep.complete(arm, {"learning_rate": p}, 0.9)
        spoken = Granularity(
            num_tokens=tokens, num_words=20, num_characters=60, are_words_given=True, num_split=25, num_whole=5
        )
        scores = {"test/en/accuracy": 0.5, "test/de/accuracy": 0.4, "test/zh/accuracy": 0.4}
        sweep.journal.append(
            "tested", trial_id=trial_id, scores=scores, baselines={}, num_examples={}, granularity={"en": spoken}
        )
    markdown = _written(sweep)
    row = cells(markdown, "en", header=["tokens a word: plain"])
    assert (row["tokens a word: plain"], row["tokens a word: finer"]) == ("1.50", "2.75")
    assert "finer in en with probability 1, of 30 drawn in test 5 stay whole" in markdown
    assert "en split 1" in cells(markdown, "finer", header=["backbone"])["backbone"]


# -- groups ----------------------------------------------------------------------------------------------------------


def _targets(*targets: str) -> dict[str, Any]:
    return {"task": {"name": "udpos", "source_language": "en", "target_languages": list(targets), "data_dir": "/d"}}


def test_the_report_shows_means_by_resource_class_and_script(tmp_path: Path) -> None:
    markdown = _written(_tested(tmp_path, {}, **_targets("de", "zh", "sw")))
    by_class = cells(markdown, "finetune", header=["class 2 (1)"])
    assert by_class["class 5 (2)"] == "52.6 ± 2.3" and by_class["n"] == "2"
    assert list(cells(markdown, "finetune", header=["Latin (2)"])) == ["arm", "n", "Han, simplified (1)", "Latin (2)"]
    assert languages.SOURCE in markdown


@pytest.mark.parametrize("targets", [("de",), ("de", "es"), ("xx", "yy"), ("de", "xx")])
def test_one_known_group_alone_is_no_table(tmp_path: Path, targets: tuple[str, ...]) -> None:
    assert "By resource class" not in _written(_tested(tmp_path, {}, **_targets(*targets)))


def test_a_language_that_the_table_lacks_is_unknown_and_never_guessed(tmp_path: Path) -> None:
    for name in ("xx", "toy-test", "alo", "", "x", "ps", "de1", "german"):
        assert languages.resource_class(name) is None
    assert languages.script("toy-test") is None and languages.script("xx-Cyrl") == "Cyrl"
    markdown = _written(_tested(tmp_path, {}, **_targets("de", "sw", "xx")))
    assert cells(markdown, "finetune", header=["class 5 (1)"])["unknown (1)"] == "–"


@pytest.mark.parametrize(
    ("language", "script", "level"),
    [
        *(("en", "Latn", 5), ("zh-Hant", "Hant", 5), ("zh", "Hans", 5), ("EL", "Grek", 3), ("pt_BR", "Latn", 4)),
        *(("fil", "Latn", 3), ("sr-Latn", "Latn", 4), ("hi", "Deva", 4), ("te", "Telu", 1), ("yo", "Latn", 2)),
        *(("iw", "Hebr", 3), ("ps", "Arab", None)),
    ],
)
def test_script_and_class_of_a_language_are_those_of_the_sources(language: str, script: str, level: int | None) -> None:
    assert (languages.script(language), languages.resource_class(language)) == (script, level)


def test_every_language_of_xtreme_has_a_script_and_a_class() -> None:
    codes = "af ar az bg bn de el en es et eu fa fi fr gu he hi hu id it ja jv ka kk ko lt ml mr ms my nl pa pl pt qu"
    more = "ro ru sw ta te th tl tr uk ur vi wo yo zh"
    assert all(languages.script(code) and languages.resource_class(code) for code in f"{codes} {more}".split())


# -- a whole sweep ---------------------------------------------------------------------------------------------------


def test_test_scores_come_with_how_finely_their_texts_are_written(backbone: Path, tmp_path: Path) -> None:
    config = replace(trial("finetune"), backbone=BackboneConfig(name="tiny", segmentation=_splits(xx=1.0)))
    places = Locations(backbone_path=str(backbone), device="cpu")
    run = train(TrialRun(config, folder=tmp_path, locations=places, cache=WorkerCache(), tokens_per_step=TOKENS))
    run.outcome()
    found = run.test().granularity
    assert found.keys() == {"en", "xx"}
    assert found["en"].num_tokens == found["en"].num_words > 0 and found["en"].are_words_given
    # The words of this tokenizer have no parts.
    assert (found["en"].num_whole, found["xx"].num_whole) == (0, found["xx"].num_words)
    assert run.test().granularity == found


def test_the_check_shows_tokens_a_word_and_what_stays_whole(tunekit: CommandLine) -> None:
    sweep = Path("words.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(sweep)
    given = content["backbone"] if isinstance(content["backbone"], dict) else {"name": content["backbone"]}
    content["backbone"] = {**given, "segmentation": {"xx": {"split": 1.0}}}
    Path("words.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    page = " ".join(tunekit("check", "words.yaml").out.split())
    assert "tokens a word" in page
    assert re.search(r"in xx pieces are split further with probability 1: of (\d+) drawn \1 stay whole", page)


def test_an_adapter_of_a_trial_that_split_pieces_is_not_exported(tmp_path: Path) -> None:
    finished = FinishedTrial(config=_trial(en=0.5), locations=Locations(), folder=tmp_path)
    with pytest.raises(ConfigError, match="segmentation: the trial split pieces of its text in en"):
        export(finished, tmp_path / "out")
