"""Zero-shot ToPro: the shared sentence gives the logits of a row a word, and labels are scored by their strings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tiny_models import TAGS, backbone_of, examples_of, language_model_of, setting_of, task_of

from tunekit.backbone import Backbone
from tunekit.backbone.inputs import EmbeddedRows
from tunekit.backbone.scoring import continuations
from tunekit.errors import ConfigError
from tunekit.methods import Batch, Feature
from tunekit.methods.parts.shared_sentence import SharedFeature
from tunekit.methods.topro_zero_shot import ToProZeroShot, ToProZeroShotConfig
from tunekit.schema import build
from tunekit.tasks import TokenExample

ONE_PIECE = {"N": "cat", "V": "sees", "X": "old"}
SEVERAL = {"N": "unhappily", "V": "cat", "X": "now here"}
TEMPLATE = "{sentence} now the {word} likes a {mask}"
causal = pytest.mark.parametrize("architecture", ["xglm", "bloom"])


def make(architecture: str, *, max_length: int = 40, labels: tuple[str, ...] = TAGS, **options: Any) -> ToProZeroShot:
    settings = {"template": TEMPLATE, "verbalizer": ONE_PIECE, "score": "sum", **options}
    method = ToProZeroShot(
        build(ToProZeroShotConfig, settings, "test"),
        setting_of(backbone_of(architecture), task_of("token", labels), max_length=max_length),
    )
    return method.eval()


def rows_of(method: ToProZeroShot, examples: Any) -> list[Feature]:
    return [row for rows in method.encode_all(examples) for row in rows]


def logits(method: ToProZeroShot, examples: Any) -> torch.Tensor:
    """Scores of every word, in the order of sentences and words."""
    rows = rows_of(method, examples)
    with torch.no_grad():
        found = iter(method.logits(method.collate(rows)))
    starts = iter(method.encode_all(examples))
    ordered = []
    for rows_here in starts:
        pairs = [(word, next(found)) for row in rows_here for word in row.words]
        ordered += [scores for _, scores in sorted(pairs, key=lambda pair: pair[0])]
    return torch.stack(ordered)


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The pieces, padding not counted, that each pass through a causal body computes."""
    seen: list[int] = []
    run_body = Backbone.run_body

    def run(self: Backbone, rows: EmbeddedRows) -> torch.Tensor:
        seen.append(int(rows.mask[:, -rows.embedded.shape[1] :].sum()))
        return run_body(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "run_body", run)
        yield seen


@causal
@pytest.mark.parametrize("verbalizer", [ONE_PIECE, SEVERAL], ids=["one_piece", "several_pieces"])
@pytest.mark.parametrize("max_length", [40, 18], ids=["whole", "windows"])
def test_a_shared_sentence_gives_the_logits_of_one_row_a_word(
    architecture: str, verbalizer: dict[str, str], max_length: int
) -> None:
    method = make(architecture, verbalizer=verbalizer, max_length=max_length)
    assert method.shares_sentence
    shared = logits(method, examples_of("token"))
    method.shares_sentence = False
    torch.testing.assert_close(shared, logits(method, examples_of("token")), atol=1e-4, rtol=0)
    assert shared.std(0).min() > 1e-2  # the words are told apart


@causal
def test_the_pieces_computed_fall_from_n_times_s_plus_p_to_s_plus_n_times_p(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make(architecture)
    words = ("the", "cat", "likes", "a", "red", "house")
    example = [TokenExample(words, ("X",) * len(words))]
    (row,) = rows_of(method, example)
    assert isinstance(row, SharedFeature)
    sizes = [len(question.input_ids) for question in row.questions]
    with counted(monkeypatch) as shared:
        logits(method, example)
    assert sum(shared) == len(row.input_ids) + sum(sizes) == row.length
    method.shares_sentence = False
    with counted(monkeypatch) as plain:
        logits(method, example)
    assert sum(plain) == len(words) * len(row.input_ids) + sum(sizes)


@causal
def test_how_questions_are_grouped_and_label_strings_are_cut_changes_no_logit(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = make(architecture, verbalizer=SEVERAL)
    together = logits(method, examples_of("token"))
    monkeypatch.setattr(continuations, "MIN_SAVED", 1)  # a group for every length of a question
    monkeypatch.setattr(continuations, "MAX_SEEN", 1)  # one question's label strings at a time
    torch.testing.assert_close(logits(method, examples_of("token")), together, atol=1e-4, rtol=0)


def test_the_question_is_shared_up_to_the_asked_word() -> None:
    method = make("bloom")
    (row,) = rows_of(method, [TokenExample(("a", "dog", "sees"), ("X", "N", "V"))])
    assert isinstance(row, SharedFeature)
    spell = method.backbone.tokenizer.decode
    assert spell(row.input_ids) == " a dog sees now the"
    assert [spell(question.input_ids) for question in row.questions] == [
        " a likes a",
        " dog likes a",
        " sees likes a",
    ]


def test_equal_words_of_a_sentence_are_asked_about_once() -> None:
    method = make("xglm")
    (row,) = rows_of(method, [TokenExample(("red", "red", "cat", "red"), ("X", "X", "N", "X"))])
    assert isinstance(row, SharedFeature)
    assert len(row.questions) == 2
    found = logits(method, [TokenExample(("red", "red", "cat", "red"), ("X", "X", "N", "X"))])
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[3])


@causal
def test_a_question_before_its_sentence_costs_a_row_a_word(architecture: str) -> None:
    method = make(architecture, template="now the {word} likes {sentence} a {mask}")
    assert not method.shares_sentence
    assert len(rows_of(method, examples_of("token"))) == sum(len(e.words) for e in examples_of("token"))  # type: ignore[union-attr]


@causal
@pytest.mark.parametrize("score", ["sum", "mean"])
def test_labels_are_scored_by_the_likelihood_of_their_strings(architecture: str, score: str) -> None:
    method = make(architecture, verbalizer=SEVERAL, score=score)
    example = TokenExample(("a", "dog", "sees"), ("X", "N", "V"))
    found = logits(method, [example])
    method.shares_sentence = False
    model = language_model_of(architecture)
    for row, scores in zip(rows_of(method, [example]), found, strict=True):
        for string, value in zip(method.strings, scores, strict=True):
            ids = torch.tensor([[*row.input_ids, *string]])
            with torch.no_grad():
                likelihoods = model(input_ids=ids).logits.log_softmax(-1)[0, -len(string) - 1 : -1]
            expected = likelihoods.gather(1, torch.tensor(string)[:, None]).sum()
            expected = expected / len(string) if score == "mean" else expected
            torch.testing.assert_close(value, expected, atol=1e-4, rtol=0)


def test_an_encoder_decoder_reads_question_and_sentence_and_writes_the_label_to_its_end() -> None:
    method = make("mt5", verbalizer=SEVERAL)
    example = TokenExample(("a", "dog", "sees"), ("X", "N", "V"))
    model = language_model_of("mt5")
    rows = rows_of(method, [example])
    assert len(rows) == 3
    with torch.no_grad():
        found = method.logits(method.collate(rows))
        for row, scores in zip(rows, found, strict=True):
            for string, value in zip(method.strings, scores, strict=True):
                assert string[-1] == method.backbone.tokenizer.eos_token_id
                loss = model(input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([string])).loss
                torch.testing.assert_close(value, -loss * len(string), atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", ["xglm", "bloom", "mt5"])
def test_every_word_of_a_long_sentence_is_answered_once_with_itself_in_view(architecture: str) -> None:
    words = ("the", "old", "dog", "sees", "a", "red", "cat", "here", "now", "house") * 6
    example = TokenExample(words, ("X",) * len(words))
    method = make(architecture, max_length=30)
    rows = method.encode(example)
    assert len(rows) > 1
    assert all(row.length <= 30 for row in rows) or method.shares_sentence
    answered = [word for row in rows for word in row.words]
    assert sorted(answered) == list(range(len(words)))
    answers = method.decode(example, list(zip(rows, method.predict(method.collate(rows)), strict=True)))
    assert len(answers) == len(words) and set(answers) <= set(TAGS)


def test_encoders_templates_and_words_can_be_asked_for_as_one_running_text() -> None:
    labels = ("B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER", "O")
    method = make("mt5", labels=labels, template="topro", verbalizer="topro", max_length=200)
    assert method.template.text == "{sentence} The named entity of {word} is a kind of: {mask}"
    assert spelled(method) == ["location", "organisation", "person", "place", "body", "name", "other"]


def test_labels_that_topro_has_no_words_for_are_their_own() -> None:
    method = make("xglm", labels=("noun", "verb"), template=None, verbalizer=None, max_length=60)
    assert method.template.text == "{sentence} The tag of {word} is a kind of: {mask}"
    assert spelled(method) == ["noun", "verb"]


def spelled(method: ToProZeroShot) -> list[str]:
    return [method.backbone.tokenizer.decode(string, skip_special_tokens=True) for string in method.strings]


def test_a_label_whose_string_begins_another_s_is_refused_where_likelihoods_are_summed() -> None:
    words = {"N": "now", "V": "now here", "X": "cat"}
    with pytest.raises(ConfigError, match=r"'now' for N begins 'now here' for V.*score: mean"):
        make("xglm", verbalizer=words)
    make("xglm", verbalizer=words, score="mean")
    make("mt5", verbalizer=words)


@pytest.mark.parametrize("architecture", ["xglm", "bloom", "mt5"])
def test_only_the_first_token_of_a_label_word_is_scored_unless_all_of_it_is_asked_for(architecture: str) -> None:
    first, whole = (make(architecture, verbalizer=SEVERAL, score=score) for score in ("first", "sum"))
    assert first.strings == tuple(string[:1] for string in whole.strings) != whole.strings
    model = language_model_of(architecture)
    (row,) = rows_of(make(architecture, template="a {word} {sentence} {mask}"), [TokenExample(("dog",), ("N",))])
    found = logits(make(architecture, template="a {word} {sentence} {mask}", verbalizer=SEVERAL, score="first"),
                   [TokenExample(("dog",), ("N",))])  # fmt: skip
    start = {"decoder_input_ids": torch.tensor([[0]])} if architecture == "mt5" else {}
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([row.input_ids]), **start).logits[0, -1]
    torch.testing.assert_close(found[0], expected[[token for (token,) in first.strings]], atol=1e-4, rtol=0)


def test_words_that_begin_alike_are_refused_where_only_the_first_token_is_scored() -> None:
    words = {"N": "now", "V": "now here", "X": "cat"}
    for architecture in ("xglm", "bloom", "mt5"):
        with pytest.raises(ConfigError, match=r"'now' for N and 'now here' for V begin with one token.*score: mean"):
            make(architecture, verbalizer=words, score="first")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"verbalizer": {"N": "cat", "V": "sees"}}, "no word for X"),
        ({"verbalizer": {"N": "cat", "V": "cat", "X": "old"}}, "N and V are both 'cat'"),
        ({"verbalizer": {"N": "CAT", "V": "sees", "X": "old"}}, "cannot write 'CAT' for N"),
        ({"template": "the {word} is a {mask}"}, "lacks {sentence}"),
        ({"template": "{sentence} the {word}"}, "no {mask}"),
        ({"score": "product"}, "'product' is not a valid choice"),
        ({"template": "now here " * 30 + "{sentence} {word} {mask}"}, "max_length is 40, must be at least"),
    ],
)
def test_an_option_that_cannot_work_is_one_clear_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make("xglm", **options)


def test_an_encoder_and_a_pair_task_are_refused() -> None:
    with pytest.raises(ConfigError, match="topro_zero_shot serves causal and encoder-decoder backbones; 'bert' is an"):
        make("bert")
    with pytest.raises(ConfigError, match="topro_zero_shot serves token tasks"):
        ToProZeroShot(ToProZeroShotConfig(), setting_of(backbone_of("xglm"), task_of("pair")))


def test_a_checkpoint_without_a_language_model_head_is_refused() -> None:
    with pytest.raises(ConfigError, match="without"):
        ToProZeroShot(ToProZeroShotConfig(), setting_of(backbone_of("xglm", has_head=False), task_of("token")))


def test_equal_rows_are_one_question_and_a_batch_moves_whole() -> None:
    method = make("xglm")
    one, two = (rows_of(method, [TokenExample(("a", "cat"), labels)])[0] for labels in (("X", "N"), ("N", "X")))
    assert one.question == two.question and one != two
    batch: Batch = method.collate([one, two]).to("cpu")
    assert batch.num_labels == 4
