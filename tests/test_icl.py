"""In-context learning: demonstrations, and tags that are decoded under constraint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tiny_models import TAGS, backbone_of, examples_of, language_model_of, setting_of, tag_of, task_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tunekit.backbone import Backbone, scoring
from tunekit.backbone.inputs import EmbeddedRows, padded
from tunekit.errors import ConfigError
from tunekit.methods.icl import InContextLearning, InContextLearningConfig, TaggedFeature
from tunekit.methods.parts.demonstrations import DemonstrationWriter, choose
from tunekit.methods.parts.templates import Template
from tunekit.schema import build
from tunekit.tasks import Example, TokenExample

WORDS = {"N": "cat", "V": "unhappily", "X": "now here"}
SHORT = {"N": "cat", "V": "sees", "X": "old"}
TEMPLATE = "a {sentence} now {mask} here"
ANSWERS = ["{word} {mask}", "{mask}", "the {word} likes {mask} red"]
every_answer = pytest.mark.parametrize("answer", ANSWERS)
SENTENCE = TokenExample(("a", "red", "dog", "sees", "now"), ("X", "X", "N", "V", "X"))


def make(architecture: str, *, max_length: int = 64, seed: int = 0, **options: Any) -> InContextLearning:
    settings = {
        "num_demonstrations": 2,
        "template": TEMPLATE,
        "answer": ANSWERS[0],
        "verbalizer": WORDS,
        "score": "sum",
    }
    settings |= options
    torch.manual_seed(seed)
    method = InContextLearning(
        build(InContextLearningConfig, settings, "test"),
        setting_of(backbone_of(architecture), task_of("token"), max_length=max_length),
    )
    return method.eval()


def rows_of(method: InContextLearning, examples: Sequence[Example]) -> list[TaggedFeature]:
    return [row for rows in method.encode_all(examples) for row in rows]  # type: ignore[misc]


def logits(method: InContextLearning, rows: Sequence[TaggedFeature]) -> torch.Tensor:
    with torch.no_grad():
        return method.logits(method.collate(rows))


def start_of(method: InContextLearning) -> list[int]:
    return [*method.writer.text.special_tokens.before, *method.demonstrations]


def said(method: InContextLearning) -> str:
    text: str = method.backbone.tokenizer.decode(method.demonstrations)
    return text


# Decoding


@every_answer
@pytest.mark.parametrize("architecture", ["xglm", "bloom"])
@pytest.mark.parametrize("verbalizer", [WORDS, SHORT], ids=["several_pieces", "one_piece"])
def test_a_causal_model_tags_as_if_it_read_everything_anew_for_each_word(
    architecture: str, answer: str, verbalizer: dict[str, str]
) -> None:
    size = {"num_demonstrations": 1, "max_length": 32} if architecture == "xglm" else {}
    method = make(architecture, answer=answer, verbalizer=verbalizer, **size)
    rows = rows_of(method, examples_of("token"))
    expected = []
    for row in rows:
        text, scores = [*start_of(method), *row.input_ids], []
        for before in row.before_labels:
            text += before
            whole = padded([tuple(text)], method.backbone.pad_id)
            with torch.no_grad():
                scores.append(scoring.continuation_scores(method.backbone, whole, method.strings)[0])
            text += method.strings[int(scores[-1].argmax())]
        expected += [scores[place] for (place,) in row.reads]
    torch.testing.assert_close(logits(method, rows), torch.stack(expected), atol=1e-4, rtol=0)


@every_answer
def test_an_encoder_decoder_reads_demonstrations_and_sentence_and_writes_the_tags(answer: str) -> None:
    method, model = make("mt5", answer=answer), language_model_of("mt5")
    rows = rows_of(method, [*examples_of("token")[:3], SENTENCE])
    expected = []
    for row in rows:
        text = [*start_of(method), *row.input_ids, *method.writer.text.special_tokens.after]
        written, scores = [model.config.decoder_start_token_id or model.config.pad_token_id], []
        for before in row.before_labels:
            written += before
            scores.append(torch.stack([_likelihood(model, text, written, string) for string in method.strings]))
            written += method.strings[int(scores[-1].argmax())]
        expected += [scores[place] for (place,) in row.reads]
    torch.testing.assert_close(logits(method, rows), torch.stack(expected), atol=1e-4, rtol=0)


def _likelihood(model: Any, text: list[int], written: list[int], string: tuple[int, ...]) -> torch.Tensor:
    ids = torch.tensor([[*written, *string]])
    with torch.no_grad():
        found = model(input_ids=torch.tensor([text]), decoder_input_ids=ids).logits.log_softmax(-1)
    return torch.stack([found[0, len(written) - 1 + place, piece] for place, piece in enumerate(string)]).sum()


def test_a_likelihood_a_piece_is_compared_where_the_score_is_mean() -> None:
    summed, mean = (make("bloom", score=score, answer="{mask}") for score in ("sum", "mean"))
    rows = rows_of(summed, [TokenExample(("cat",), ("N",))])
    sizes = torch.tensor([len(string) for string in summed.strings])
    torch.testing.assert_close(logits(mean, rows), logits(summed, rows) / sizes)


@pytest.mark.parametrize("architecture", ["bloom", "mt5"])
def test_rows_are_tagged_alike_alone_and_together(architecture: str) -> None:
    method = make(architecture)
    rows = rows_of(method, examples_of("token"))
    together = logits(method, rows)
    torch.testing.assert_close(torch.cat([logits(method, [row]) for row in rows]), together, atol=1e-4, rtol=0)
    method.tokens_per_step = 1  # one row at a time
    torch.testing.assert_close(logits(method, rows), together, atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", ["bloom", "mt5"])
@pytest.mark.parametrize("max_length", [64, 30], ids=["whole", "windows"])
def test_every_word_gets_exactly_one_tag_of_the_task(architecture: str, max_length: int) -> None:
    words = ("the", "old", "dog", "sees", "a", "red", "cat", "here") * 3
    example = TokenExample(words, tuple(map(tag_of, words)))
    method = make(architecture, max_length=max_length, num_demonstrations=1)
    rows = method.encode(example)
    assert len(rows) > 1
    answered = [word for row in rows for word in row.words]
    assert sorted(answered) == list(range(len(words)))
    assert all(row.length - row.num_shown <= max_length for row in rows)  # type: ignore[attr-defined]
    assert {row.num_shown for row in rows} == {0 if architecture == "bloom" else method.prompt_length}  # type: ignore[attr-defined]
    tags = method.decode(example, list(zip(rows, method.predict(method.collate(rows)), strict=True)))
    assert len(tags) == len(words) and set(tags) <= set(TAGS)


def test_demonstrations_are_read_once_a_trial_and_a_sentence_once(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make("bloom", verbalizer=SHORT)
    (row,) = rows_of(method, [SENTENCE])
    seen: list[int] = []
    run_body = Backbone.run_body

    def run(self: Backbone, rows: EmbeddedRows) -> torch.Tensor:
        seen.append(int(rows.mask[:, -rows.embedded.shape[1] :].sum()))
        return run_body(self, rows)

    monkeypatch.setattr(Backbone, "run_body", run)
    logits(method, [row])
    assert seen[0] == len(method.demonstrations)
    own = len(row.input_ids) + sum(map(len, row.before_labels)) + len(row.before_labels) - 1
    assert sum(seen[1:]) == own == row.length - 1  # the last label is never read
    seen.clear()
    logits(method, [row])
    assert sum(seen) == own


# Demonstrations


def test_a_demonstration_is_written_as_the_answers_are() -> None:
    method = make("mt5", num_demonstrations=1, choice="first", template="a {sentence} now {mask} here")
    tagged = "the now here cat cat sees unhappily a now here red now here house cat"
    assert said(method) == f"a the cat sees a red house now {tagged} here</s>"
    (row,) = rows_of(method, [SENTENCE])
    decode = method.backbone.tokenizer.decode
    assert decode(row.input_ids) == "a a red dog sees now now"
    assert [decode(before) for before in row.before_labels] == ["a", "red", "dog", "sees", "now"]


def test_blocks_are_parted_by_a_line_feed_where_the_tokenizer_has_one() -> None:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator([], trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made)
    writer = DemonstrationWriter(Template(TEMPLATE), Template("{mask}"), tokenizer, [(0,)])
    assert tokenizer.decode(writer.separator) == "\n"


def test_no_demonstrations_leave_the_sentence_alone() -> None:
    method = make("bloom", num_demonstrations=0)
    assert method.demonstrations == ()
    assert logits(method, rows_of(method, [SENTENCE])).shape == (5, 3)


@pytest.mark.parametrize("choice", ["random", "balanced"])
def test_a_draw_depends_on_the_seed_and_on_nothing_else(choice: str) -> None:
    draws = [said(make("bloom", choice=choice, seed=seed)) for seed in range(6)]
    assert draws[0] == said(make("bloom", choice=choice, seed=0))
    assert len(set(draws)) > 1


@pytest.mark.parametrize("choice", ["first", "longest"])
def test_a_rule_without_a_draw_does_not_depend_on_the_seed(choice: str) -> None:
    assert said(make("bloom", choice=choice, seed=0)) == said(make("bloom", choice=choice, seed=1))


def _sentence(*labels: str) -> TokenExample:
    return TokenExample(tuple(f"w{number}" for number in range(len(labels))), labels)


def test_the_longest_sentences_that_fit_are_chosen_in_order() -> None:
    examples = [_sentence(*"a" * size) for size in (2, 5, 3, 9, 5)]
    chosen = choose(examples, 3, "longest", lambda example: len(example.words) < 9)
    assert [len(example.words) for example in chosen] == [5, 5, 3]
    assert chosen[0] is examples[1]


def test_a_balanced_choice_shows_rare_labels_first_and_evens_them_out() -> None:
    common = [_sentence("O", "O") for _ in range(50)]
    rare = [_sentence("O", "B"), _sentence("O", "I"), _sentence("B", "I", "O")]
    torch.manual_seed(0)
    chosen = choose([*common, *rare], 3, "balanced", lambda example: True)
    shown = Counter(label for example in chosen for label in example.labels)
    assert chosen[0] is rare[2]
    assert shown["B"] == shown["I"] == 2


def test_a_sentence_too_long_for_a_row_is_passed_over_and_too_few_are_refused() -> None:
    method = make("bloom", num_demonstrations=2, choice="longest", max_length=36)
    assert len(method.demonstrations) <= 2 * 36
    with pytest.raises(ConfigError, match=r"num_demonstrations is 9, but only \d sentences of train take at most"):
        make("bloom", num_demonstrations=9)


def test_demonstrations_that_may_exceed_the_positions_are_refused() -> None:
    make("xglm", max_length=32, num_demonstrations=1)
    with pytest.raises(ConfigError, match=r"num_demonstrations is 2: with max_length 32.*64 positions; use at most 1"):
        make("xglm", max_length=32, num_demonstrations=2)


def test_the_rows_do_not_depend_on_what_is_shown() -> None:
    one, other = make("bloom", seed=0), make("bloom", seed=3, num_demonstrations=1)
    assert one.encoding_key() == other.encoding_key()
    assert rows_of(one, [SENTENCE]) == rows_of(other, [SENTENCE])
    assert one.encoding_key() != make("bloom", answer="{mask}").encoding_key()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_demonstrations": -1}, "num_demonstrations is -1"),
        ({"choice": "best"}, "'best' is not a valid choice"),
        ({"template": "{mask} now"}, "lacks {sentence}"),
        ({"template": "{mask} {sentence}"}, "must come before {mask}"),
        ({"template": "{sentence} | {mask}"}, r"a '\|' has no place here"),
        ({"answer": "{word}"}, "no {mask}"),
        ({"answer": "{mask} {word}"}, "in the order word, mask"),
        ({"answer": "{sentence} {mask}"}, "{sentence}.*has no place here"),
        ({"verbalizer": {"N": "cat", "V": "sees"}}, "no word for X"),
        ({"verbalizer": {**SHORT, "Y": "dog"}}, "'Y' is not a label of the task"),
        ({"verbalizer": {**SHORT, "X": "cat"}}, "the same tokens"),
        ({"verbalizer": {**SHORT, "X": "cat cat"}}, "'cat' for N begins 'cat cat' for X"),
        ({"verbalizer": None}, "cannot write 'N' for N"),
        ({"max_length": 12}, "max_length is 12, must be at least"),
    ],
)
def test_an_option_that_cannot_work_is_one_clear_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make("mt5", **options)


def test_encoders_are_refused() -> None:
    with pytest.raises(ConfigError, match="icl serves causal and encoder-decoder backbones; 'bert' is an encoder"):
        make("bert")
