"""ToPro: a prompt a word, the paper's words, windows, shared sentences, and label strings of a decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import TAGS, backbone_of, examples_of, folder_of, language_model_of, setting_of, task_of, tokenizer_of

from tunekit.check.arms import check
from tunekit.errors import ConfigError
from tunekit.methods import Batch, Feature
from tunekit.methods.parts.label_words import ENTITIES, PARTS_OF_SPEECH
from tunekit.methods.topro import ToPro, ToProConfig
from tunekit.schema import build, to_json
from tunekit.search.study import ArmStudy
from tunekit.sweep import trial_config
from tunekit.sweep.reader import parse_sweep
from tunekit.sweep.source import Source
from tunekit.tasks import Task, TokenExample
from tunekit.tasks.tagging import PANX_LABELS, UDPOS_LABELS
from tunekit.training import joint, predictor
from tunekit.training.caches import WorkerCache
from tunekit.training.learner import Learner
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

WORDS = {"N": "cat", "V": "sees", "X": "here"}
OTHERS = {"N": "dog", "V": "likes", "X": "now"}
TEMPLATE = "{sentence} | the {word} {mask}"


def topro(
    architecture: str = "xlm-roberta", *, max_length: int = 40, labels: tuple[str, ...] = TAGS, **options: Any
) -> Any:
    return ToPro(
        ToProConfig(**{"template": TEMPLATE, "verbalizer": WORDS, **options}),
        setting_of(backbone_of(architecture), task_of("token", labels), max_length=max_length),
    ).eval()


def sentence(text: str) -> TokenExample:
    words = tuple(text.split())
    return TokenExample(words, ("X",) * len(words))


def spelled(row: Feature, architecture: str = "xlm-roberta") -> str:
    return " ".join(tokenizer_of(architecture).convert_ids_to_tokens(list(row.input_ids)))


def rows_of(method: ToPro, *texts: str) -> list[Feature]:
    return [row for rows in method.encode_all([sentence(text) for text in texts]) for row in rows]


# Prompts


def test_each_word_gets_a_prompt_of_its_own() -> None:
    rows = rows_of(topro(), "a cat sees")
    assert [row.words for row in rows] == [(0,), (1,), (2,)]
    assert [spelled(row) for row in rows] == [
        f"<s> ▁a ▁cat ▁sees </s> </s> ▁the ▁{word} <mask> </s>" for word in ("a", "cat", "sees")
    ]
    assert all(spelled(row).split(" ")[row.reads[0][0]] == "<mask>" for row in rows)


def test_equal_words_of_a_sentence_ask_one_question_unless_their_place_is_marked() -> None:
    plain, marked = rows_of(topro(), "red red cat"), rows_of(topro(position_marker="a"), "red red cat")
    assert plain[0].question == plain[1].question != plain[2].question
    assert len({row.question for row in marked}) == 3
    assert spelled(marked[1]) == "<s> ▁red ▁a ▁red ▁a ▁cat </s> </s> ▁the ▁red <mask> </s>"


@pytest.mark.parametrize(
    ("labels", "words", "question"),
    [
        (PANX_LABELS, ENTITIES, "The named entity of {word} is a kind of: {mask} ."),
        (UDPOS_LABELS, PARTS_OF_SPEECH, "The pos tag of {word} is a kind of: {mask} ."),
        (("NOUN", "VERB"), {"NOUN": "thing", "VERB": "verb"}, "The pos tag of {word} is a kind of: {mask} ."),
        (("B-NP", "O"), {"B-NP": "B-NP", "O": "O"}, "The tag of {word} is a kind of: {mask} ."),
    ],
)
def test_template_and_words_are_the_papers_where_it_has_them(
    labels: tuple[str, ...], words: dict[str, str], question: str
) -> None:
    method = ToPro(
        ToProConfig(),
        setting_of(_without_tokenizer(), task_of("token", labels), max_length=64, word_piece="first"),
    )
    assert method.template.text == f"{{sentence}} | {question}"
    assert method.verbalizer.words == words


def _without_tokenizer(architecture: str = "xlm-roberta") -> Any:
    backbone = backbone_of(architecture)
    backbone.tokenizer = None
    return backbone


def test_labels_that_are_no_vocabulary_entries_are_all_named() -> None:
    with pytest.raises(ConfigError, match=r"'N' for N .*; 'V' for V .*; 'X' for X .*`verbalizer: \{label: word\}`"):
        topro(verbalizer=None)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("options", [{}, {"position_marker": "a"}, {"share_sentence": True}])
def test_every_word_is_asked_once_in_a_row_that_fits_and_shows_it(options: dict[str, Any], data: Any) -> None:
    method = _LONG.setdefault(str(options), topro(max_length=16, **options))
    chosen = data.draw(st.lists(st.sampled_from(["cat", "unhappily", "猫", "houses", "the"]), min_size=1, max_size=30))
    example = TokenExample(tuple(chosen), ("X",) * len(chosen))
    rows = method.encode(example)
    asked = [word for row in rows for word in row.words]
    assert asked == list(range(len(chosen)))
    pieces = method.tokens_of_words([example], 0.0)
    for row in rows:
        questions = row.questions if options.get("share_sentence") else (row,)
        assert all(len(row.input_ids) * (row is not q) + len(q.input_ids) <= 16 for q in questions)
        for word in row.words:
            assert _holds(row.input_ids, pieces[chosen[word]][:3])


_LONG: dict[str, Any] = {}


def _holds(row: tuple[int, ...], part: tuple[int, ...]) -> bool:
    return any(row[i : i + len(part)] == part for i in range(len(row)))


def test_a_long_sentence_is_shown_around_the_asked_word() -> None:
    rows = rows_of(topro(max_length=16), "cat " * 30 + "dog")
    assert "▁dog </s> </s> ▁the ▁dog <mask>" in spelled(rows[-1])
    assert all(row.length <= 16 for row in rows)


# One row for a sentence and its questions


def test_a_shared_sentence_is_written_once_with_each_different_question() -> None:
    method = topro(share_sentence=True)
    (row,) = rows_of(method, "red red cat")
    assert spelled(row) == "<s> ▁red ▁red ▁cat </s>"
    assert [spelled(question) for question in row.questions] == [
        f"</s> ▁the ▁{word} <mask> </s>" for word in ("red", "cat")
    ]
    assert (row.asks, row.words, row.length) == ((0, 0, 1), (0, 1, 2), 5 + 2 * 5)


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
def test_a_question_sees_the_shared_sentence_which_does_not_see_it(architecture: str) -> None:
    method = topro(architecture, share_sentence=True)
    shared = rows_of(method, "a cat sees the dog")
    plain = rows_of(topro(architecture), "a cat sees the dog")
    batch = method.collate(shared)
    with torch.no_grad():
        found = method.logits(batch)
        expected = torch.cat([_by_mask(architecture, row, len(shared[0].input_ids), method) for row in plain])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def _by_mask(architecture: str, row: Feature, cut: int, method: ToPro) -> torch.Tensor:
    """The language model on the whole row, with an attention mask that hides the question from the sentence."""
    size = row.length
    sees = torch.ones(size, size, dtype=torch.bool)
    sees[:cut, cut:] = False
    additive = torch.zeros(1, 1, size, size).masked_fill(~sees, torch.finfo(torch.float32).min)
    types = torch.tensor([row.token_type_ids or (0,) * size])
    model = language_model_of(architecture)
    logits = model(input_ids=torch.tensor([row.input_ids]), attention_mask=additive, token_type_ids=types).logits
    return logits[:, row.reads[0][0], list(method.verbalizer.token_ids)]


def test_sharing_does_not_depend_on_padding_and_reaches_the_sentence_with_its_gradient() -> None:
    method = topro(share_sentence=True)
    rows = [row for found in method.encode_all(examples_of("token")) for row in found]
    together = method.collate(rows)
    alone = torch.cat([method.logits(method.collate([row])) for row in rows])
    torch.testing.assert_close(method.logits(together), alone, atol=1e-5, rtol=0)
    assert together.num_labels == sum(len(example.labels) for example in examples_of("token"))  # type: ignore[union-attr]
    method.loss(together).backward()
    only_in_sentence = method.backbone.tokenizer.bos_token_id
    assert method.backbone.model.get_input_embeddings().weight.grad[only_in_sentence].abs().max() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"share_sentence": True, "position_marker": "*"},
            r"position_marker is '\*', must be null with share_sentence",
        ),
        ({"share_sentence": True, "template": "{word} {sentence} {mask}"}, r"\{sentence\} must come first"),
        ({"position_marker": " "}, "position_marker is ' ', must be a sign"),
        ({"template": "{sentence} {mask}"}, r"lacks \{word\}"),
        ({"template": ""}, r"has no \{mask\}|nothing stands"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        topro(**options)


def test_a_causal_backbone_is_refused() -> None:
    with pytest.raises(ConfigError, match="topro serves encoder and encoder-decoder backbones; 'xglm' is causal"):
        topro("xglm")


# An encoder-decoder


def test_on_mt5_the_labels_strings_are_scored_after_the_prompt() -> None:
    method = topro("mt5", verbalizer={"N": "cat", "V": "unhappily", "X": "here"})
    rows = rows_of(method, "a cat sees")
    assert all("mask" not in spelled(row, "mt5") and row.reads == ((row.length - 1,),) for row in rows)
    tokenizer, model = tokenizer_of("mt5"), language_model_of("mt5")
    expected = torch.zeros(len(rows), len(TAGS))
    with torch.no_grad():
        for index, row in enumerate(rows):
            for label, string in enumerate(method.strings):
                assert string[-1] == tokenizer.eos_token_id
                text, answer = torch.tensor([row.input_ids]), torch.tensor([string])
                logits = model(input_ids=text, labels=answer).logits.log_softmax(-1)
                expected[index, label] = logits.gather(-1, answer[..., None]).sum()
        torch.testing.assert_close(method.logits(method.collate(rows)), expected, atol=1e-4, rtol=0)


def test_on_mt5_the_labels_themselves_are_the_strings() -> None:
    labels = ("cat", "unhappily", "here")
    method = topro("mt5", verbalizer=None, labels=labels)
    tokenizer = tokenizer_of("mt5")
    assert method.strings == tuple(tuple(tokenizer(label)["input_ids"]) for label in labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share_sentence": True}, "share_sentence is True, must be left out on 'mt5'"),
        ({"multi_token": "mean"}, "multi_token is 'mean', must be left out on 'mt5'"),
    ],
)
def test_options_without_effect_on_mt5_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        topro("mt5", **options)


# Evaluation


@pytest.mark.parametrize("share", [False, True])
def test_equal_questions_of_a_split_are_computed_once_with_the_same_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: bool
) -> None:
    texts = ("red red cat", "a cat sees", "red red cat", "red red cat")
    task = Task(
        TaskConfig(name="tiny"), kind="token", read=lambda split, language: [_tagged(t) for t in texts], labels=TAGS
    )
    folder_of("xlm-roberta", tmp_path)
    config = TrialConfig(
        task=task.config,
        backbone=BackboneConfig(name="tiny"),
        method="topro",
        options={"template": TEMPLATE, "verbalizer": WORDS, "share_sentence": share},
        training=TrainingConfig(max_length=40),
        seed=1,
    )
    cache = WorkerCache(load_task=lambda *_: task)
    learner = Learner(config, locations=Locations(backbone_path=str(tmp_path)), cache=cache, tokens_per_step=8192)
    computed: list[int] = []
    predict = ToPro.predict

    def counting(self: ToPro, batch: Batch) -> list[list[int]]:
        computed.append(len(batch.row_sizes))
        return predict(self, batch)

    monkeypatch.setattr(ToPro, "predict", counting)
    scores = learner.score("dev", "en", joint.predict(learner, "dev", "en"))
    assert sum(computed) == (2 if share else 5)
    monkeypatch.setattr(predictor, "_first_rows", lambda rows: list(range(len(rows))))
    assert learner.score("dev", "en", joint.predict(learner, "dev", "en")) == scores
    assert sum(computed) == (2 + 4 if share else 5 + 12)


def _tagged(text: str) -> TokenExample:
    words = tuple(text.split())
    return TokenExample(words, tuple(TAGS[len(word) % 3] for word in words))


# In a sweep


def sweep(folder: Path, **space: Any) -> Any:
    fixed = {name: value for name, value in {"template": TEMPLATE, "max_length": 32}.items() if name not in space}
    arm = {"method": "topro", "fixed": fixed, "space": space}
    data = folder / "data"
    for split in ("train", "dev", "test"):
        (data / "tags").mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{word}\t{label}\n" for word, label in zip(("a", "cat", "sees"), ("X", "N", "V"), strict=True))
        (data / "tags" / f"{split}-en.tsv").write_text(lines)
    files = str(data / "tags" / "{split}-{language}.tsv")
    return parse_sweep(
        {
            "name": "words",
            "task": {"name": "tags", "kind": "token", "files": files, "metric": "accuracy"},
            "backbone": {"name": "tiny", "path": str(folder_of("xlm-roberta", folder / "model"))},
            "arms": {"topro": arm},
            "search": {"searcher": "tpe", "num_trials": 4},
        },
        Source("words.yaml"),
    )


def test_verbalizers_templates_and_markers_are_searched_and_drawn_again_from_the_journal(tmp_path: Path) -> None:
    space = {
        "verbalizer": [WORDS, OTHERS],
        "template": ["{sentence} {word} {mask}", TEMPLATE],
        "share_sentence": [False, True],
    }
    made = sweep(tmp_path, **space)
    (arm,) = made.arms
    study, other = ArmStudy(made, arm), ArmStudy(made, arm)
    drawn = [study.ask(number) for number in range(6)]
    for number, (params, remembered) in enumerate(drawn):
        assert params["verbalizer"] in (WORDS, OTHERS)
        study.tell(number, "COMPLETE", 0.5)
        other.restore(params, to_json(remembered))
        other.tell(number, "COMPLETE", 0.5)
    assert {repr(params["verbalizer"]) for params, _ in drawn} == {repr(WORDS), repr(OTHERS)}
    assert study.ask(6)[0] == other.ask(6)[0]
    assert len(list(arm.grid())) == 8


def test_a_verbalizer_is_part_of_a_trials_identity_whatever_the_order_of_its_labels(tmp_path: Path) -> None:
    made = sweep(tmp_path, verbalizer=[WORDS, OTHERS])
    (arm,) = made.arms
    backwards = dict(reversed(WORDS.items()))
    ids = [trial_config(made, arm, {"verbalizer": words}, 1).trial_id for words in (WORDS, backwards, OTHERS)]
    assert ids[0] == ids[1] != ids[2]
    again = build(ToProConfig, trial_config(made, arm, {"verbalizer": WORDS}, 1).options, "topro")
    assert again.verbalizer == WORDS


@pytest.mark.parametrize(
    ("verbalizer", "message"),
    [
        ({**WORDS, "X": "unhappily"}, "not one vocabulary entry: 'unhappily' for X"),
        ({"N": "cat", "V": "sees"}, "no word for X"),
        ({**WORDS, "X": False}, "expected text, got False"),
        ("cat", "verbalizer 'cat' is no known set of words; .*published"),
    ],
)
def test_check_refuses_a_verbalizer_before_anything_is_trained(tmp_path: Path, verbalizer: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(sweep(tmp_path, verbalizer=[WORDS, verbalizer]), flops_per_s=1e9)
