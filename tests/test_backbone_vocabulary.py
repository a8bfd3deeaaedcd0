"""The language-model head: what it says of some entries of the vocabulary, and of strings of pieces after a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import ARCHITECTURES, backbone_of, folder_of, language_model_of
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from tunekit.backbone import Backbone, Inputs, describe, load, scoring
from tunekit.backbone.shapes import SHAPES
from tunekit.backbone.vocabulary import taken_apart
from tunekit.errors import ConfigError
from tunekit.toy import backbones as toy_backbones
from tunekit.training.caches import WorkerCache
from tunekit.trial import BackboneConfig, Locations

ENCODERS = ("bert", "roberta", "xlm-roberta")
CAUSAL = ("xglm", "bloom")
IDS = torch.tensor([9, 4, 30, 343])


def some_inputs(lengths: tuple[int, ...] = (7, 4), seed: int = 1) -> Inputs:
    """Rows of the given lengths, padded to the longest."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((len(lengths), max(lengths)), 1)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, 30, (length,), generator=generator)
    return Inputs(ids, (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long())


# A head's scores


def whole_logits(model: Any, inputs: Inputs) -> Tensor:
    """What transformers' model says of the whole vocabulary."""
    decoded = {}
    if model.config.is_encoder_decoder:
        decoded["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(inputs.input_ids)
    logits: Tensor = model(inputs.input_ids, attention_mask=inputs.attention_mask, **decoded).logits
    return logits


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_vocabulary_logits_are_those_of_the_whole_model_at_the_entries_asked_for(architecture: str) -> None:
    backbone, model, inputs = backbone_of(architecture), language_model_of(architecture), some_inputs((7, 7))
    found = backbone.vocabulary_logits(backbone.encode(inputs)[1], IDS)
    expected = whole_logits(model, inputs)[1][:, IDS]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_head_whose_rows_are_not_tied_to_the_embeddings_keeps_its_own(architecture: str) -> None:
    model = language_model_of(architecture)
    rows = torch.nn.Parameter(torch.randn(344, 32))
    model.get_output_embeddings().weight = rows
    body, head = taken_apart(model)
    backbone, inputs = Backbone("tiny", body, vocabulary_head=head).eval(), some_inputs((7, 7))
    assert head.rows is rows
    found = backbone.vocabulary_logits(backbone.encode(inputs)[1], IDS)
    expected = whole_logits(model, inputs)[1][:, IDS]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tied_rows_are_the_word_embeddings_and_are_counted_and_trained_with_the_body(architecture: str) -> None:
    backbone, bare = backbone_of(architecture), backbone_of(architecture, has_head=False)
    assert backbone.num_parameters() == bare.num_parameters()
    head = backbone.vocabulary_head
    assert head is not None and head.rows is None
    backbone.set_trained(True)
    backbone.vocabulary_logits(torch.randn(2, 32), IDS).sum().backward()
    grad = backbone.model.get_input_embeddings().weight.grad  # type: ignore[operator]
    assert grad.abs().sum(1).nonzero().flatten().tolist() == sorted(IDS.tolist())


@pytest.mark.parametrize("architecture", ENCODERS)
def test_the_head_is_trained_only_when_asked_for_and_freezing_the_backbone_ends_it(architecture: str) -> None:
    backbone = backbone_of(architecture)
    own = list(backbone.vocabulary_head.parameters())  # type: ignore[union-attr]
    assert len(own) == 5, "a linear layer, a normalisation and the entries' biases"
    backbone.set_trained(True)
    assert not any(p.requires_grad for p in own)
    backbone.train_vocabulary_head(True)
    backbone.vocabulary_logits(backbone.encode(some_inputs())[0], IDS).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in own)
    backbone.set_trained(False)
    assert not any(p.requires_grad for p in backbone.parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("body_trained", [False, True])
@pytest.mark.parametrize("head_trained", [False, True])
def test_in_bf16_the_head_is_close_to_fp32_trained_or_not(
    architecture: str, body_trained: bool, head_trained: bool
) -> None:
    exact, rough = backbone_of(architecture), backbone_of(architecture, dtype="bf16")
    rough.set_trained(body_trained)
    rough.train_vocabulary_head(head_trained)
    states = exact.encode(some_inputs())[0].detach()
    expected, found = exact.vocabulary_logits(states, IDS), rough.vocabulary_logits(states, IDS)
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().mean() < 0.1 * expected.std()
    whole = rough.vocabulary.log_partition(rough.vocabulary.transform(states))
    assert (whole - exact.vocabulary.log_partition(exact.vocabulary.transform(states))).abs().max() < 0.3


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_checkpoint_with_a_head_is_loaded_with_it(architecture: str, tmp_path: Path) -> None:
    where = Locations(backbone_path=str(folder_of(architecture, tmp_path)))
    states = torch.randn(2, 32)
    backbone = load(BackboneConfig(name="tiny"), where)
    assert backbone.has_vocabulary_head
    torch.testing.assert_close(
        backbone.vocabulary_logits(states, IDS), backbone_of(architecture).vocabulary_logits(states, IDS)
    )
    assert describe(BackboneConfig(name="tiny"), where).has_vocabulary_head


@pytest.mark.parametrize("architecture", ENCODERS)
def test_a_checkpoint_without_a_head_loads_and_its_missing_head_is_not_made_up(
    architecture: str, tmp_path: Path
) -> None:
    where = Locations(backbone_path=str(folder_of(architecture, tmp_path, has_head=False)))
    backbone = load(BackboneConfig(name="tiny"), where)
    assert not backbone.has_vocabulary_head
    assert not describe(BackboneConfig(name="tiny"), where).has_vocabulary_head
    torch.testing.assert_close(backbone.encode(some_inputs()), backbone_of(architecture).encode(some_inputs()))
    with pytest.raises(ConfigError, match="'tiny' has no language-model head"):
        backbone.vocabulary_logits(torch.randn(2, 32), IDS)


def test_of_the_well_known_models_only_sentence_encoders_are_described_without_a_head() -> None:
    without = {n for n in SHAPES if not describe(BackboneConfig(name=n), Locations()).has_vocabulary_head}
    assert without == {"intfloat/multilingual-e5-small"}


def test_a_cache_puts_a_trained_head_back_as_it_was_loaded() -> None:
    cache = WorkerCache(load_backbone=lambda *_: backbone_of("bert"), fingerprint_backbone=lambda *_: "tiny")
    config, where = BackboneConfig(name="tiny"), Locations(device="cpu")
    backbone = cache.backbone(config, where, trained=True).backbone
    backbone.set_trained(True)
    backbone.train_vocabulary_head(True)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(1.0)
    again = cache.backbone(config, where, trained=False).backbone
    assert again is backbone
    states = torch.randn(2, 32)
    torch.testing.assert_close(
        again.vocabulary_logits(states, IDS), backbone_of("bert").vocabulary_logits(states, IDS), atol=0, rtol=0
    )


def test_the_real_small_model_has_a_head_that_agrees_with_transformers(shared: Path) -> None:
    folder = shared / "models" / "mini-xlmr"
    backbone = load(BackboneConfig(name="mini-xlmr"), Locations(backbone_path=str(folder)))
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = backbone.tokenizer("Paris is the capital of <mask>.", return_tensors="pt")
    column = (tokens["input_ids"][0] == backbone.tokenizer.mask_token_id).nonzero()[0]
    with torch.no_grad():
        states = backbone.encode_at(Inputs(tokens["input_ids"], tokens["attention_mask"]), torch.tensor([0]), column)
        found = backbone.vocabulary_logits(states, torch.arange(2000))
        expected = model(**tokens).logits[0, column, :2000]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


# Likelihoods of strings


CANDIDATES = ((5, 6, 7), (5, 6), (8,), (5, 9, 10), (11, 12))


def plain_scores(architecture: str, text: list[int], candidates: tuple[tuple[int, ...], ...] = CANDIDATES) -> Tensor:
    """Log-likelihoods from one run of the whole model a candidate, without padding."""
    model, scores = language_model_of(architecture), []
    for candidate in candidates:
        logits = model(torch.tensor([[*text, *candidate]])).logits[0].log_softmax(-1)
        scores.append(sum(logits[len(text) - 1 + i, piece] for i, piece in enumerate(candidate)))
    return torch.stack(scores)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", CAUSAL)
def test_continuation_scores_are_the_log_likelihoods_of_each_string_after_its_text(architecture: str) -> None:
    backbone, inputs = backbone_of(architecture), some_inputs((7, 4, 1))
    found = scoring.continuation_scores(backbone, inputs, CANDIDATES)
    assert found.shape == (3, 5)
    for row, length in enumerate((7, 4, 1)):
        expected = plain_scores(architecture, inputs.input_ids[row, :length].tolist())
        torch.testing.assert_close(found[row], expected, atol=1e-4, rtol=0)
    normalised = scoring.continuation_scores(backbone, inputs, CANDIDATES, normalise=True)
    torch.testing.assert_close(normalised, found / torch.tensor([3, 2, 1, 3, 2]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("architecture", CAUSAL)
def test_single_pieces_are_scored_by_their_own_rows_and_differ_from_log_likelihoods_by_one_number_a_row(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, inputs = backbone_of(architecture), some_inputs((7, 4))
    monkeypatch.setattr("tunekit.backbone.vocabulary.Vocabulary.log_partition", None)
    found = scoring.continuation_scores(backbone, inputs, ((5,), (6,), (8,)))
    monkeypatch.undo()
    for row, length in enumerate((7, 4)):
        text = inputs.input_ids[row, :length].tolist()
        expected = plain_scores(architecture, text, ((5,), (6,), (8,)))
        torch.testing.assert_close(found[row].log_softmax(-1), expected.log_softmax(-1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", CAUSAL)
def test_the_gradient_of_scores_reaches_the_weights_and_is_the_plain_one(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunekit.backbone.vocabulary.MAX_LOGITS", 1000)  # two states at a time
    backbone, model, inputs = backbone_of(architecture), language_model_of(architecture), some_inputs((5,))
    backbone.set_trained(True)
    weights = torch.randn(len(CANDIDATES))
    (scoring.continuation_scores(backbone, inputs, CANDIDATES)[0] * weights).sum().backward()
    for weight, candidate in zip(weights, CANDIDATES, strict=True):
        ids = torch.tensor([[*inputs.input_ids[0].tolist(), *candidate]])
        logits = model(ids).logits[0].log_softmax(-1)
        (sum(logits[4 + i, piece] for i, piece in enumerate(candidate)) * weight).backward()
    expected = dict(taken_apart(model)[0].named_parameters())
    for name, parameter in backbone.model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-4, rtol=1e-3, msg=name)


def test_strings_are_not_scored_by_an_encoder_or_without_a_head() -> None:
    with pytest.raises(ConfigError, match=r"what follows a text is for .*'bert' is of family 'encoder'"):
        scoring.continuation_scores(backbone_of("bert"), some_inputs(), CANDIDATES)
    with pytest.raises(ConfigError, match="no language-model head"):
        scoring.continuation_scores(backbone_of("xglm", has_head=False), some_inputs(), CANDIDATES)
    with pytest.raises(ValueError, match="at least one token"):
        scoring.continuation_scores(backbone_of("xglm"), some_inputs(), ((5,), ()))


@pytest.mark.parametrize("architecture", ["bert", "xglm"])
def test_a_toy_backbone_keeps_the_head_that_it_was_pretrained_with(architecture: Any, tmp_path: Path) -> None:
    toy_backbones.build(toy_backbones.Recipe(architecture=architecture, num_updates=2, num_texts=200), tmp_path)
    where, inputs = Locations(backbone_path=str(tmp_path)), some_inputs((7, 7))
    backbone, kind = load(BackboneConfig(name="tiny"), where), AutoModelForMaskedLM
    if architecture == "xglm":
        kind = AutoModelForCausalLM
    else:
        assert backbone.tokenizer.mask_token_id is not None
    assert backbone.has_vocabulary_head
    expected = whole_logits(kind.from_pretrained(tmp_path).eval(), inputs)[1][:, :30]
    found = backbone.vocabulary_logits(backbone.encode(inputs)[1], torch.arange(30))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
