"""The contract of every method, on every family of backbones and both kinds of task; and how rows are made."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from multilingual_tasks import TARGETS, WORDS, task_in
from peft import PrefixTuningConfig, TaskType, get_peft_model
from tiny_models import (
    ARCHITECTURES,
    SENTENCES,
    TAGS,
    backbone_of,
    examples_of,
    folder_of,
    setting_of,
    tag_of,
    task_of,
    tokenizer_of,
    whole_loss,
)

from tunekit import methods
from tunekit.backbone import Backbone, Inputs, describe, load
from tunekit.errors import ConfigError
from tunekit.methods import Batch, Feature, Method, Setting, count_parameters, name_of
from tunekit.methods.batch import UNSEEN
from tunekit.methods.parts.head import HeadMethod
from tunekit.methods.parts.rows import RowEncoder, fit_pair, windows
from tunekit.registry import METHODS, lookup
from tunekit.schema import build
from tunekit.tasks import Example, PairExample, TokenExample
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

KINDS = ("token", "pair")
FAMILIES_ONCE = tuple(architecture for architecture in ARCHITECTURES if architecture != "roberta")
"""RoBERTa is XLM-R's architecture by another name."""
LEAST: dict[str, Any] = {"head_dropout": 0.0, "verbalizer": WORDS}
"""What the contract gives to every method whose Config has such a field, so that it can learn the tiny task."""
LEAST_OF: dict[tuple[str, str], dict[str, Any]] = {
    ("topro", "token"): {"template": "{sentence} | the {word} {mask}"},
    ("generate_tags", "token"): {"prefix": "", "answer": "{mask} {word} now"},
    ("icl", "token"): {"template": "{sentence} {mask}", "num_demonstrations": 1},
}
"""The same for one method and kind of task."""
LENGTHS = {"icl": 32}
"""Pieces a row where 40 do not suit a method: in 64 positions a demonstration and a sentence, say."""
RATES: dict[str, float] = {"adapter": 1e-2}
"""Where neither 3e-3 (a trained backbone) nor 3e-2 (a frozen one) suits a method."""


def make(
    name: str,
    backbone: Backbone,
    kind: str = "token",
    *,
    seed: int = 0,
    max_length: int | None = None,
    word_piece: str = "first_text",
    **options: Any,
) -> Any:
    """A method on a backbone, without dropout of its own."""
    cls: type[Method] = lookup("method", name)
    known = {field.name for field in dataclasses.fields(cls.Config)}
    least = {key: value for key, value in LEAST.items() if key in known}
    config = build(cls.Config, {**least, **LEAST_OF.get((name, kind), {}), **options}, name)
    torch.manual_seed(seed)
    length = max_length or LENGTHS.get(name, 40)
    return cls(config, setting_of(backbone, task_in(*TARGETS, kind=kind), max_length=length, word_piece=word_piece))


def is_served(name: str, architecture: str, kind: str) -> bool:
    """Whether the method can be made; what is refused here is a hole in README's table, where it is tested."""
    try:
        make(name, backbone_of(architecture), kind)
    except ConfigError:
        return False
    return True


SERVED = [cell for cell in itertools.product(METHODS, FAMILIES_ONCE, KINDS) if is_served(*cell)]
FIRST = {name: next((cell for cell in SERVED if cell[0] == name), (name, "bert", "token")) for name in METHODS}
"""One architecture and kind that each method serves, where one is enough."""
TRAINED = [name for name in METHODS if lookup("method", name).is_trained]
PROMPTS = [
    name
    for name in METHODS
    if issubclass(lookup("method", name), HeadMethod) and hasattr(lookup("method", name).Config, "prompt_length")
]
"""Methods that put a prompt before the text."""


def cells(names: Sequence[str]) -> Any:
    """Every architecture and kind of task that the methods serve."""
    return pytest.mark.parametrize(("name", "architecture", "kind"), [cell for cell in SERVED if cell[0] in names])


def first_cells(names: Sequence[str]) -> Any:
    """One architecture and kind of task for each of the methods."""
    return pytest.mark.parametrize(("name", "architecture", "kind"), [FIRST[name] for name in names])


every_method = pytest.mark.parametrize("name", METHODS)
every_architecture = pytest.mark.parametrize("architecture", FAMILIES_ONCE)
every_kind = pytest.mark.parametrize("kind", KINDS)


def rows_of(method: Method, examples: Sequence[Example]) -> list[Feature]:
    return [row for rows in method.encode_all(examples) for row in rows]


def trained(method: Method) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in method.named_parameters() if p.requires_grad}


def predictions(method: Method, examples: Sequence[Example]) -> list[str | list[str]]:
    """As training does it: all rows, then back to one answer an example."""
    method.eval()
    answers = []
    for example in examples:
        rows = method.encode(example)
        answers.append(method.decode(example, list(zip(rows, method.predict(method.collate(rows)), strict=True))))
    return answers


def gold(examples: Sequence[Example]) -> list[str | list[str]]:
    return [e.label if isinstance(e, PairExample) else list(e.labels) for e in examples]


def optimizer_of(name: str, method: Method) -> torch.optim.Optimizer:
    rate = RATES.get(name, 3e-3 if method.trains_backbone else 3e-2)
    return torch.optim.AdamW(trained(method).values(), lr=rate, weight_decay=0.0)


# Building


def trial(method: str, **changes: Any) -> TrialConfig:
    """A configuration of the tiny task."""
    default = {"backbone": BackboneConfig(name="bert"), "training": TrainingConfig(max_length=40), "seed": 0}
    return TrialConfig(task=TaskConfig(name="tiny"), method=method, **{**default, **changes})


@dataclass(frozen=True, kw_only=True)
class BiasConfig:
    """Options of a method of the user's own."""

    start: float = 0.5


class OnlyBias(Method[BiasConfig]):
    """A method of the user's own, whole: one number for each label, whatever the text."""

    Config = BiasConfig
    kinds = frozenset({"pair"})

    def __init__(self, config: BiasConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        self.bias = torch.nn.Parameter(torch.full((len(self.labels),), config.start, device=self.parameter_device))

    def encoding_key(self) -> Any:
        return "bias", self.labels

    def encode_all(self, examples: Sequence[Example], *, language: str | None = None) -> list[tuple[Feature, ...]]:
        labels = [self.labels.index(cast(PairExample, example).label) for example in examples]
        return [(Feature((0,), None, (label,), ((0,),), ()),) for label in labels]

    def logits(self, batch: Batch) -> torch.Tensor:
        return self.bias.expand(batch.num_labels, -1)


def test_build_makes_what_the_configuration_names_also_a_method_from_elsewhere() -> None:
    config = trial("test_methods:OnlyBias", options={"start": 2})
    method = methods.build(config, backbone=backbone_of("bert"), task=task_of("pair"))
    assert type(method).__name__ == "OnlyBias"
    assert (method.config.start, method.max_length) == (2.0, 40)
    assert predictions(method, examples_of("pair")) == [TAGS[0]] * 8
    assert not methods.trains_backbone(config)
    assert methods.trains_backbone(trial("finetune"))


def test_build_reads_the_token_of_a_word_that_the_backbone_block_names() -> None:
    backbone, task = backbone_of("bert"), task_of("token")
    keys = {
        methods.build(
            trial("finetune", backbone=BackboneConfig(name="bert", word_piece=name)), backbone=backbone, task=task
        ).encoding_key()
        for name in ("first", "last", "mean")
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (trial("finetone"), "unknown method 'finetone'.*finetune"),
        (trial("json:dumps"), "method 'json:dumps' is .*, which is no subclass of tunekit.methods.Method"),
        (trial("lora", options={"rank": 0}), "lora: options: rank is 0, must be at least 1"),
        (trial("lora", options={"rnak": 1}), "lora: options: unknown key 'rnak'.*rank"),
        (trial("icl"), "training: epochs is 5, but icl trains nothing, so it must be 1"),
        (trial("icl", training=TrainingConfig(epochs=1, batch_size=4)), "batch_size is 4, but icl .* must be 16"),
    ],
)
def test_what_cannot_be_built_is_refused_before_a_backbone_is_loaded(config: TrialConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        methods.trains_backbone(config)


# The contract


@every_method
def test_a_method_serves_at_least_one_architecture_and_kind_of_task(name: str) -> None:
    architecture, kind = FIRST[name][1:]
    make(name, backbone_of(architecture), kind)  # the reason, where none is served
    assert FIRST[name] in SERVED


@cells(TRAINED)
def test_a_method_overfits_eight_examples(name: str, architecture: str, kind: str) -> None:
    method, examples = make(name, backbone_of(architecture), kind), examples_of(kind)
    batch = method.collate(rows_of(method, examples))
    optimizer = optimizer_of(name, method)
    method.train()
    for _ in range(120):
        loss = whole_loss(method, batch) / batch.num_labels
        if loss < 0.05:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert predictions(method, examples) == gold(examples)


@cells(TRAINED)
def test_two_steps_move_every_trained_parameter_and_no_bit_of_a_frozen_one(
    name: str, architecture: str, kind: str
) -> None:
    method = make(name, backbone_of(architecture, dropout=0.1), kind)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    batch = method.collate(rows_of(method, examples_of(kind)))
    method.train()
    optimizer = torch.optim.AdamW(trained(method).values(), lr=1e-2, weight_decay=0.0)
    for _ in range(2):  # LoRA's B starts at zero, so A feels nothing of the first
        optimizer.zero_grad()
        whole_loss(method, batch).backward()
        optimizer.step()
    for key, parameter in method.named_parameters():
        moved = not torch.equal(before[key], parameter)
        assert moved == parameter.requires_grad, key
        assert (parameter.grad is not None) == parameter.requires_grad, key
        assert not parameter.requires_grad or parameter.grad.abs().max() > 0, key  # type: ignore[union-attr]
    is_frozen = not any(key.startswith("backbone.") for key in trained(method))
    assert is_frozen != method.trains_backbone


@cells(tuple(METHODS))
def test_a_method_leaves_the_structure_of_the_shared_backbone_alone(name: str, architecture: str, kind: str) -> None:
    def structure() -> list[Any]:
        modules = [(key, type(module), len(module._forward_hooks)) for key, module in backbone.named_modules()]
        return [
            *modules,
            *(key for key, _ in backbone.named_parameters()),
            *(key for key, _ in backbone.named_buffers()),
        ]

    backbone = backbone_of(architecture)
    before = structure()
    method = make(name, backbone, kind).train()
    method.logits(method.collate(rows_of(method, examples_of(kind))))
    assert structure() == before


@cells(tuple(METHODS))
@pytest.mark.parametrize("word_piece", ["first_text", "mean"])
def test_predictions_do_not_depend_on_padding_or_on_the_batch(
    name: str, architecture: str, kind: str, word_piece: str
) -> None:
    method = make(name, backbone_of(architecture), kind, word_piece=word_piece).eval()
    rows = rows_of(method, examples_of(kind))
    with torch.no_grad():
        together = method.logits(method.collate(rows))
        backwards = method.logits(method.collate(rows[::-1]))
        alone = [method.logits(method.collate([row])) for row in rows]
    torch.testing.assert_close(together, torch.cat(alone), atol=2e-5, rtol=0)
    torch.testing.assert_close(backwards, torch.cat(alone[::-1]), atol=2e-5, rtol=0)


@cells(tuple(METHODS))
def test_rows_with_equal_questions_have_equal_logits(name: str, architecture: str, kind: str) -> None:
    method = make(name, backbone_of(architecture), kind).eval()
    known: dict[Any, torch.Tensor] = {}
    for row in rows_of(method, examples_of(kind)):
        with torch.no_grad():
            found = method.logits(method.collate([row]))
        torch.testing.assert_close(known.setdefault(row.question, found), found)


@cells(TRAINED)
def test_the_trained_parameters_carry_everything_that_was_learnt(name: str, architecture: str, kind: str) -> None:
    one = make(name, backbone_of(architecture), kind, seed=1)
    with torch.no_grad():
        for parameter in trained(one).values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    kept = {key: parameter.detach().clone() for key, parameter in trained(one).items()}
    other = make(name, backbone_of(architecture), kind, seed=2)
    batch = one.eval().collate(rows_of(one, examples_of(kind)))
    assert not torch.equal(one.logits(batch), other.eval().logits(batch))
    assert kept.keys() == trained(other).keys()
    result = other.load_state_dict(kept, strict=False)
    assert not result.unexpected_keys
    assert torch.equal(one.logits(batch), other.logits(batch))


@cells(TRAINED)
def test_the_same_seed_gives_the_same_loss_dropout_included(name: str, architecture: str, kind: str) -> None:
    def loss(seed: int) -> float:
        method = make(name, backbone_of(architecture, dropout=0.1), kind, seed=seed).train()
        return whole_loss(method, method.collate(rows_of(method, examples_of(kind)))).item()

    assert loss(3) == loss(3)
    assert loss(3) != loss(4)


@cells(TRAINED)
def test_the_loss_is_a_sum_over_labels(name: str, architecture: str, kind: str) -> None:
    method = make(name, backbone_of(architecture), kind).eval()
    rows = rows_of(method, examples_of(kind))
    whole = method.collate(rows)
    parts = [method.collate([row]) for row in rows]
    assert whole.num_labels == sum(part.num_labels for part in parts) == len(whole.label_ids)
    own = type(method)
    if own.loss is Method.loss and own.loss_of is Method.loss_of:  # else it has terms of its own, and tests of its own
        torch.testing.assert_close(
            whole_loss(method, whole), torch.stack([whole_loss(method, part) for part in parts]).sum()
        )


@cells(TRAINED)
def test_bf16_trains_fp32_parameters(name: str, architecture: str, kind: str) -> None:
    method = make(name, backbone_of(architecture, dtype="bf16"), kind).train()
    for _ in range(2):
        whole_loss(method, method.collate(rows_of(method, examples_of(kind)))).backward()
    for key, parameter in trained(method).items():
        assert parameter.dtype == torch.float32, key
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    if not method.trains_backbone:
        assert {p.dtype for p in method.backbone.parameters()} == {torch.bfloat16}


@cells(tuple(METHODS))
def test_a_method_after_all_others_on_one_backbone_is_as_on_a_fresh_one(
    name: str, architecture: str, kind: str
) -> None:
    used, fresh = (backbone_of(architecture, dtype="bf16") for _ in range(2))
    for other, *where in SERVED:
        if where == [architecture, kind]:
            make(other, used, kind)
    expected, found = make(name, fresh, kind).eval(), make(name, used, kind).eval()
    batch = found.collate(rows_of(found, examples_of(kind)))
    assert torch.equal(found.logits(batch), expected.logits(batch))


@cells([name for name in METHODS if name != "icl"])  # the tiny sentences are long for its template, and are windowed
def test_as_many_rows_are_estimated_from_words_as_a_tokenizer_makes(name: str, architecture: str, kind: str) -> None:
    method, examples = make(name, backbone_of(architecture), kind), examples_of(kind)
    expected = [len(rows) for rows in method.encode_all(examples)]
    method.backbone.tokenizer = None
    estimated = [method.estimate_rows(example) for example in examples]
    assert [len(rows) for rows in estimated] == expected
    assert min(min(rows) for rows in estimated) > 0


@cells(tuple(METHODS))
def test_a_method_says_what_its_backward_pass_and_its_prompt_cost(name: str, architecture: str, kind: str) -> None:
    method = make(name, backbone_of(architecture), kind)
    is_frozen = not any(key.startswith("backbone.") for key in trained(method))
    assert method.backward_operations == (0 if not method.is_trained else 2 if is_frozen else 4)
    assert method.num_input_positions == (16 if name == "prompt_tuning" else 0), "a vector for each, at the input"


@cells(tuple(METHODS))
def test_encoding_one_example_is_the_same_as_encoding_all_together(name: str, architecture: str, kind: str) -> None:
    method, examples = make(name, backbone_of(architecture), kind), examples_of(kind)
    assert method.encode_all(examples) == [method.encode(example) for example in examples]


@cells(tuple(METHODS))
def test_a_gold_label_that_train_lacks_changes_no_prediction(name: str, architecture: str, kind: str) -> None:
    method, examples = make(name, backbone_of(architecture), kind), examples_of(kind)
    other = [
        dataclasses.replace(e, label="new")
        if isinstance(e, PairExample)
        else dataclasses.replace(e, labels=("new", *e.labels[1:]))
        for e in examples
    ]
    assert predictions(method, other) == predictions(method, examples)


@first_cells(tuple(METHODS))
def test_what_changes_the_rows_changes_the_encoding_key_and_a_prompt_does_not(
    name: str, architecture: str, kind: str
) -> None:
    backbone = backbone_of(architecture)
    key = make(name, backbone, kind).encoding_key()
    assert hash(key) == hash(make(name, backbone, kind, seed=5).encoding_key())
    others = [make(name, backbone, kind, max_length=LENGTHS.get(name, 40) - 1)]
    if issubclass(lookup("method", name), HeadMethod):
        others += [make(name, backbone, "pair"), make(name, backbone, kind, word_piece="last")]
    assert len({key, *(other.encoding_key() for other in others)}) == 1 + len(others)
    if name in PROMPTS:
        assert make(name, backbone, kind, prompt_length=3).encoding_key() == key


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "xglm"])
def test_a_prompt_that_leaves_too_few_positions_is_refused(name: str, architecture: str) -> None:
    limit = backbone_of(architecture).max_positions
    assert limit is not None
    make(name, backbone_of(architecture), prompt_length=limit - 40)
    with pytest.raises(ConfigError, match=rf"{limit - 39} \+ 40 = {limit + 1}.*at most {limit - 40}"):
        make(name, backbone_of(architecture), prompt_length=limit - 39)


@first_cells(tuple(METHODS))
def test_a_kind_of_task_that_a_method_does_not_serve_is_refused(
    name: str, architecture: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = next(other for other in KINDS if other != kind)
    monkeypatch.setattr(lookup("method", name), "kinds", frozenset({served}))
    with pytest.raises(ConfigError, match=f"^{name} serves {served} tasks; 'tiny' is a {kind} task"):
        make(name, backbone_of(architecture), kind)


@first_cells(tuple(METHODS))
def test_a_family_of_backbones_that_a_method_does_not_serve_is_refused(
    name: str, architecture: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls, backbone = lookup("method", name), backbone_of(architecture)
    monkeypatch.setattr(cls, "families", frozenset({"encoder", "causal", "encoder-decoder"} - {backbone.family}))
    with pytest.raises(
        ConfigError, match=f"^{name} serves .* and .* backbones; '{architecture}' is .*{backbone.family}$"
    ):
        make(name, backbone, kind)


def test_a_method_that_is_not_registered_is_called_by_its_class() -> None:
    class Mine(Method):
        pass

    assert name_of(Mine).endswith("Mine")
    assert name_of(lookup("method", "finetune")) == "finetune"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ptuning_v2", {"prompt_length": 0}, "prompt_length is 0, must be at least 1"),
        ("ptuning_v2", {"prefix_dropout": 1.0}, "prefix_dropout is 1.0"),
        ("ptuning_v2", {"projection_size": 0}, "projection_size is 0"),
        ("prompt_tuning", {"start": "zero"}, "'zero' is not a valid choice"),
        ("prompt_tuning", {"prompt_lenght": 3}, "did you mean 'prompt_length'"),
        ("finetune", {"head_dropout": -0.1}, "head_dropout is -0.1"),
        ("bitfit", {"head_dropout": 1.0}, "head_dropout is 1.0"),
        ("lora", {"rank": 0}, "rank is 0, must be at least 1"),
        ("lora", {"lora_alpha": 0.0}, "lora_alpha is 0.0, must be greater than 0"),
        ("lora", {"targets": "queries"}, "'queries' is not a valid choice"),
    ],
)
def test_an_option_out_of_range_is_one_clear_error(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(name, backbone_of("bert"), **options)


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("projection", [False, True])
def test_p_tuning_v2_gives_what_peft_gives_with_the_same_weights(architecture: str, projection: bool) -> None:
    options = {"projection": True, "projection_size": 7} if projection else {}
    method = make("ptuning_v2", backbone_of(architecture), prompt_length=5, initial_std=1.0, **options).eval()
    settings = {"prefix_projection": projection, "encoder_hidden_size": 7}
    config = PrefixTuningConfig(num_virtual_tokens=5, task_type=TaskType.FEATURE_EXTRACTION, **settings)
    peft = get_peft_model(backbone_of(architecture).model, config).eval()
    theirs = peft.prompt_encoder["default"]
    theirs.embedding.weight.data = method.prompt.table.data
    if projection:
        theirs.transform.load_state_dict(method.prompt.project.state_dict())
    inputs = method.collate(rows_of(method, examples_of("token"))).inputs
    found = peft(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask).last_hidden_state
    real = inputs.attention_mask.bool()
    torch.testing.assert_close(
        method.backbone.encode(inputs, prefix=method.prompt())[real], found[real], atol=1e-5, rtol=0
    )


# Parameters


def test_p_tuning_v2_on_xglm_564m_has_the_share_that_its_paper_states() -> None:
    backbone = describe(BackboneConfig(name="facebook/xglm-564M"), Locations())
    count = count_parameters(make("ptuning_v2", backbone, prompt_length=15))
    assert count.backbone == 564_463_616
    assert count.groups == {"prompt": 737_280, "head": 3 * 1024 + 3}
    assert count.trainable == 737_280 + 3 * 1024 + 3
    assert f"{count.share('prompt'):.4%}" == "0.1306%"


@cells(tuple(METHODS))
def test_parameters_are_counted_alike_with_and_without_weights(
    name: str, architecture: str, kind: str, tmp_path: Path
) -> None:
    real = backbone_of(architecture)
    folder = folder_of(architecture, tmp_path)
    empty = describe(BackboneConfig(name="tiny"), Locations(backbone_path=str(folder)))
    found = count_parameters(make(name, real, kind))
    assert found == count_parameters(make(name, empty, kind))
    assert ("backbone" in found.groups) == lookup("method", name).trains_backbone
    assert bool(found.trainable) == lookup("method", name).is_trained


def test_a_projected_prompt_has_the_parameters_of_its_perceptron() -> None:
    count = count_parameters(
        make("ptuning_v2", backbone_of("bert"), prompt_length=5, projection=True, projection_size=7)
    )
    assert count.groups["prompt"] == 5 * 32 + (32 * 7 + 7) + (7 * 128 + 128)


def test_prefix_dropout_differs_between_rows_and_is_off_when_predicting() -> None:
    method = make("ptuning_v2", backbone_of("bert"), prefix_dropout=0.5)
    keys = method.train().prefix(2).keys
    assert keys.shape == (2, 2, 16, 4, 8)
    assert not torch.equal(keys[:, 0], keys[:, 1])
    assert method.eval().prefix(2).keys.shape == (2, 16, 4, 8)


def test_a_prompt_starts_at_pieces_of_the_vocabulary_and_not_at_special_ones() -> None:
    backbone = backbone_of("xglm")
    method = make("prompt_tuning", backbone, prompt_length=24)
    pieces = backbone.embed(torch.arange(4, len(backbone.tokenizer)))
    assert all((pieces == vector).all(-1).any() for vector in method.prompt)
    assert make("prompt_tuning", backbone, prompt_length=24, start="normal").prompt.std() < 0.03


# Rows


def encoder(architecture: str = "xlm-roberta", kind: str = "token", **changes: Any) -> RowEncoder:
    settings: dict[str, Any] = {"max_length": 40, "word_piece": "first_text", "is_causal": False, "has_segments": False}
    return RowEncoder(tokenizer_of(architecture), kind=kind, labels=TAGS, **{**settings, **changes})


def sentence(text: str) -> TokenExample:
    words = tuple(text.split(" "))
    return TokenExample(words, ("X",) * len(words))


def read(rows: RowEncoder, text: str, architecture: str = "xlm-roberta") -> list[list[str]]:
    """The pieces read for each word of a one-row sentence."""
    ((row,),) = rows.encode_all([sentence(text)])
    tokens = tokenizer_of(architecture).convert_ids_to_tokens(list(row.input_ids))
    return [[tokens[place] for place in places] for places in row.reads]


@pytest.mark.parametrize(
    ("word_piece", "expected"),
    [
        ("first_text", [["▁the"], ["猫"], ["▁un"], ["▁"]]),
        ("first", [["▁the"], ["▁"], ["▁un"], ["▁"]]),
        ("last", [["▁the"], ["猫"], ["ly"], ["▁"]]),
        ("mean", [["▁the"], ["▁", "猫"], ["▁un", "happi", "ly"], ["▁"]]),
    ],
)
def test_the_piece_of_a_word_that_is_read_is_the_one_asked_for(word_piece: str, expected: list[list[str]]) -> None:
    assert read(encoder(word_piece=word_piece), "the 猫 unhappily ▁") == expected


@pytest.mark.parametrize("word_piece", ["first_text", "first", "last", "mean"])
def test_a_causal_model_always_reads_the_last_piece(word_piece: str) -> None:
    rows = encoder("xglm", is_causal=True, word_piece=word_piece)
    assert read(rows, "the 猫 unhappily", "xglm") == [["▁the"], ["猫"], ["ly"]]


def test_a_decoder_that_passes_pieces_one_position_later_is_read_there() -> None:
    rows = encoder(is_shifted=True)
    assert read(rows, "the 猫 unhappily") == [["▁"], ["▁un"], ["happi"]]
    assert read(encoder(is_shifted=True, word_piece="last"), "the 猫 unhappily") == [["▁"], ["▁un"], ["</s>"]]
    tokens, row = pair_tokens("xlm-roberta", "the cat", "a dog", is_shifted=True)
    assert row.reads == ((len(tokens) - 1,),)
    assert rows.key != encoder().key


def test_a_word_that_the_tokenizer_maps_to_nothing_is_unknown_and_still_predicted() -> None:
    assert read(encoder("bert"), "the \u200b cat", "bert") == [["the"], ["<unk>"], ["cat"]]
    assert read(encoder("bert"), "\n", "bert") == [["<unk>"]]


def test_words_stand_in_their_sentence_between_the_special_pieces() -> None:
    for architecture, expected in {
        "xlm-roberta": "<s> ▁the ▁ 猫 ▁un happi ly </s>",
        "bert": "<s> the 猫 un ##happi ##ly </s>",
        "xglm": "</s> ▁the ▁ 猫 ▁un happi ly",
    }.items():
        ((row,),) = encoder(architecture).encode_all([sentence("the 猫 unhappily")])
        assert " ".join(tokenizer_of(architecture).convert_ids_to_tokens(list(row.input_ids))) == expected


def test_a_byte_level_tokenizer_sees_a_space_before_every_word() -> None:
    rows = encoder("bloom", word_piece="mean")
    ((row,),) = rows.encode_all([sentence("the cat sees the")])
    assert tokenizer_of("bloom").decode(list(row.input_ids)) == " the cat sees the"
    pieces = read(rows, "the cat sees the", "bloom")
    assert pieces[0] == pieces[3], "a word has the same pieces wherever it stands"


def test_a_gold_label_that_train_lacks_has_no_number_that_could_be_predicted() -> None:
    ((row,),) = encoder().encode_all([TokenExample(("the", "cat"), ("W", "N"))])
    assert row.label_ids[0] == UNSEEN < 0 <= row.label_ids[1]


def pair_tokens(architecture: str, a: str, b: str, **changes: Any) -> tuple[list[str], Feature]:
    ((row,),) = encoder(architecture, "pair", **changes).encode_all([PairExample(a, b, "N")])
    return tokenizer_of(architecture).convert_ids_to_tokens(list(row.input_ids)), row


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta", "xglm"])
def test_a_pair_has_the_form_of_its_tokenizer(architecture: str) -> None:
    tokenizer, (tokens, row) = tokenizer_of(architecture), pair_tokens(architecture, "the cat", "a dog sees")
    assert list(row.input_ids) == tokenizer("the cat", "a dog sees")["input_ids"], tokens
    assert not row.truncated
    segments = pair_tokens(architecture, "the cat", "a dog sees", has_segments=True)[1].token_type_ids
    expected = tokenizer("the cat", "a dog sees", return_token_type_ids=True)["token_type_ids"]
    assert (list(segments) if segments else [0] * len(tokens)) == expected
    assert any(expected) == (architecture == "bert")


def test_a_pair_without_a_separator_is_joined_by_the_end_of_text_piece() -> None:
    tokenizer, (tokens, _) = tokenizer_of("bloom"), pair_tokens("bloom", "the cat", "a dog")
    at = tokens.index("</s>")
    assert tokenizer.convert_tokens_to_string(tokens[:at]) == "the cat"
    assert tokenizer.convert_tokens_to_string(tokens[at + 1 :]) == "a dog"


def test_an_encoder_reads_a_pair_at_the_first_piece_and_a_causal_model_at_the_last() -> None:
    assert pair_tokens("xlm-roberta", "the cat", "a dog")[1].reads == ((0,),)
    tokens, row = pair_tokens("xglm", "the cat", "a dog", is_causal=True)
    assert row.reads == ((len(tokens) - 1,),)
    assert tokens[-1] == "▁dog"


def test_a_long_pair_is_cut_longest_first_and_says_so() -> None:
    tokens, row = pair_tokens("xlm-roberta", "the cat " * 30, "a dog", max_length=12)
    assert tokens == ["<s>", *["▁the", "▁cat"] * 3, "</s>", "</s>", "▁a", "▁dog", "</s>"]
    assert row.truncated


def test_two_empty_texts_still_make_a_row() -> None:
    for architecture in ARCHITECTURES:
        assert pair_tokens(architecture, "", "", is_causal=architecture == "bloom")[1].length >= 1


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 50))
def test_a_cut_pair_fills_the_row_and_never_cuts_the_shorter_text_first(a: int, b: int, room: int) -> None:
    kept_a, kept_b = fit_pair(a, b, room)
    assert kept_a + kept_b == min(a + b, room)
    assert 0 <= kept_a <= a
    assert 0 <= kept_b <= b
    if kept_a < a and kept_b < b:
        assert abs(kept_a - kept_b) <= 1
    elif kept_a < a:
        assert kept_a >= kept_b - 1


# Windows


@settings(max_examples=200, deadline=None)
@given(st.integers(4, 30), st.lists(st.integers(1, 60), min_size=1, max_size=120), st.booleans())
def test_every_word_is_owned_by_one_window_that_fits_and_shows_it_most_context(
    capacity: int, sizes: list[int], is_causal: bool
) -> None:
    sizes = [min(size, capacity) for size in sizes]
    found = windows(sizes, capacity, is_causal=is_causal)
    assert sorted(word for _, _, owned in found for word in owned) == list(range(len(sizes)))
    for start, end, owned in found:
        assert sum(sizes[start:end]) <= capacity
        assert all(start <= word < end for word in owned)
    if sum(sizes) <= capacity:
        assert len(found) == 1


def test_neighbouring_windows_overlap_and_split_the_words_between_them() -> None:
    assert windows([1] * 20, 8, is_causal=False) == [
        (0, 8, [0, 1, 2, 3, 4, 5, 6]),
        (6, 14, [7, 8, 9, 10, 11, 12]),
        (12, 20, [13, 14, 15, 16, 17, 18, 19]),
    ]
    assert [owned[0] for _, _, owned in windows([1] * 20, 8, is_causal=True)] == [0, 8, 14]


@every_architecture
def test_a_sentence_of_5000_words_is_predicted_whole(architecture: str) -> None:
    words = tuple((" ".join(SENTENCES) + " ").split() * 200)[:5000]
    example = TokenExample(words, tuple(map(tag_of, words)))
    method = make("ptuning_v2", backbone_of(architecture))
    rows = method.encode(example)
    assert max(row.length for row in rows) <= 40
    assert [word for row in rows for word in row.words] == list(range(5000))
    assert [label for row in rows for label in row.label_ids] == [TAGS.index(label) for label in example.labels]
    answer = method.decode(example, list(zip(rows, method.eval().predict(method.collate(rows)), strict=True)))
    assert len(answer) == 5000


def test_a_word_longer_than_the_limit_is_still_predicted() -> None:
    method = make("finetune", backbone_of("xlm-roberta"), max_length=8)
    example = sentence(f"the {'x' * 500} cat {'y' * 500}")
    rows = method.encode(example)
    assert max(row.length for row in rows) == 8
    assert len(predictions(method, [example])[0]) == 4


# Batches


def test_a_batch_moves_whole_also_when_a_method_adds_to_it() -> None:
    @dataclass
    class Wider(Batch):
        extra: torch.Tensor

    inputs = Inputs(torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 2))
    one = torch.zeros(1)
    moved = Wider(inputs, one, one, one, one, (1,), extra=one).to("meta")
    assert isinstance(moved, Wider)
    tensors = [moved.extra, moved.label_ids, moved.read_rows, moved.inputs.input_ids, moved.inputs.token_type_ids]
    assert all(t is not None and t.device.type == "meta" for t in tensors)


def test_rows_with_and_without_segments_can_share_a_batch() -> None:
    plain = Feature((0, 5, 2), None, (0,), ((0,),), ())
    method = make("finetune", backbone_of("bert"), "pair")
    batch = method.collate([plain, Feature((0, 5, 2, 6), (0, 0, 1, 1), (1,), ((0,),), (), truncated=True)])
    assert batch.inputs.token_type_ids is not None
    assert batch.inputs.token_type_ids.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1]]
    assert batch.inputs.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.row_sizes == (1, 1)


def test_segments_reach_the_model() -> None:
    method = make("finetune", backbone_of("bert"), "pair").eval()
    example = PairExample("the cat", "a dog", "N")
    (row,) = method.encode(example)
    assert row.token_type_ids is not None
    blank = Feature(row.input_ids, None, row.label_ids, row.reads, row.words)
    assert not torch.allclose(method.logits(method.collate([row])), method.logits(method.collate([blank])))


# The real model


def test_a_real_tokenizer_cuts_chinese_words_and_the_piece_with_text_is_read(shared: Path) -> None:
    folder = str(shared / "models" / "mini-xlmr")
    backbone = load(BackboneConfig(name="mini-xlmr"), Locations(backbone_path=folder))
    method: HeadMethod = make("ptuning_v2", backbone, max_length=128)
    words = ("我", "喜欢", "这", "本", "书", "。")
    example = TokenExample(words, ("X",) * len(words))
    (row,) = method.encode(example)
    tokens = backbone.tokenizer.convert_ids_to_tokens(list(row.input_ids))
    texts = [tokens[place].strip("▁") for (place,) in row.reads]
    assert all(text and word.startswith(text) for word, text in zip(words, texts, strict=True)), tokens
    assert "▁" in tokens, "the case that this is about"
    assert len(predictions(method, [example])[0]) == len(words)
