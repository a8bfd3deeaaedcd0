"""mT5: attention of our own, a prefix in the encoder and in the decoder, and strings that the decoder writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_backbone_vocabulary import CANDIDATES, some_inputs
from tiny_models import backbone_of, folder_of, language_model_of
from torch import Tensor, nn

from tunekit.backbone import Inputs, Prefix, load, scoring, t5
from tunekit.errors import ConfigError
from tunekit.trial import BackboneConfig, Locations

NUM_HEADS, HEAD_SIZE = 4, 6


def shifted(ids: Tensor) -> Tensor:
    """The text one position to the right, behind the piece that decoding starts with."""
    return torch.cat([torch.zeros_like(ids[:, :1]), ids[:, :-1]], dim=1)


@pytest.mark.parametrize("lengths", [(7, 4), (60, 31, 2)])
def test_without_a_prefix_it_reads_as_transformers_does(lengths: tuple[int, ...]) -> None:
    backbone, inputs = backbone_of("mt5"), some_inputs(lengths)
    expected = backbone.model(
        input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, decoder_input_ids=shifted(inputs.input_ids)
    ).last_hidden_state
    torch.testing.assert_close(backbone.encode(inputs), expected, atol=1e-5, rtol=0)


def test_gradients_without_a_prefix_are_those_of_transformers() -> None:
    backbone, model, inputs = backbone_of("mt5"), backbone_of("mt5").model, some_inputs((9, 5))
    backbone.set_trained(True)
    weights = torch.randn(2, 9, 32)
    (backbone.encode(inputs) * weights).sum().backward()
    hidden = model(inputs.input_ids, inputs.attention_mask, decoder_input_ids=shifted(inputs.input_ids))
    (hidden.last_hidden_state * weights).sum().backward()
    expected = dict(model.named_parameters())
    for name, parameter in backbone.model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, atol=1e-4, rtol=1e-3, msg=name)


def some_layers(num_layers: int = 4) -> Prefix:
    """A prefix of three positions."""
    return Prefix(*(torch.randn(num_layers, 3, NUM_HEADS, HEAD_SIZE) for _ in range(2)))


def test_a_prefix_changes_what_the_encoder_gives_the_decoder() -> None:
    model, inputs, prefix = backbone_of("mt5").model, some_inputs((7, 4)), some_layers(2)
    embedded = model.shared(inputs.input_ids)  # type: ignore[operator]
    plain = t5.encode(model, embedded, inputs.attention_mask)
    steered = t5.encode(model, embedded, inputs.attention_mask, prefix.layers(2, torch.float32))
    for (keys, _), (other, _) in zip(plain.layers, steered.layers, strict=True):
        assert (keys - other)[0].abs().amax((0, 2)).min() > 1e-3, "at every piece"


def test_each_half_of_a_prefix_changes_the_output_and_gets_a_gradient() -> None:
    backbone, inputs = backbone_of("mt5"), some_inputs((7, 7))
    backbone.set_trained(False)
    plain = backbone.encode(inputs)
    for half in (slice(0, 2), slice(2, 4)):  # the encoder's layers, the decoder's
        prefix, other = some_layers(), some_layers()
        values = prefix.values.clone()
        values[half] = other.values[half]
        values.requires_grad_()
        steered = backbone.encode(inputs, prefix=Prefix(prefix.keys, values))
        assert (steered - backbone.encode(inputs, prefix=prefix)).abs().amax(-1).min() > 1e-3
        assert (steered - plain).abs().amax(-1).min() > 1e-3
        steered.square().sum().backward()
        assert values.grad is not None and (values.grad[half].abs().amax((1, 2, 3)) > 0).all()


def attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Attention of one row, without scaling; queries [H, L, Dh], keys and values [H, S, Dh]; gives [L, H x Dh]."""
    return ((queries @ keys.transpose(1, 2) + bias).softmax(-1) @ values).transpose(0, 1).flatten(1)


def heads(states: Tensor) -> Tensor:
    """[L, H x Dh] as [H, L, Dh]."""
    return states.unflatten(-1, (NUM_HEADS, HEAD_SIZE)).transpose(0, 1)


def plain_stack(stack: Any, x: Tensor, prefix: list[tuple[Tensor, Tensor]], text: Tensor | None) -> Tensor:
    """One row through a stack, written out: a prefix has no relative position; `text` is what the encoder made."""
    length, first = len(x), stack.block[0].layer[0].SelfAttention
    bias = first.compute_bias(length, length)[0]
    if text is not None:
        bias = bias.masked_fill(torch.ones(length, length).triu(1).bool(), -torch.inf)
    bias = nn.functional.pad(bias, (3, 0))
    for block, (keys, values) in zip(stack.block, prefix, strict=True):
        a, h = block.layer[0].SelfAttention, block.layer[0].layer_norm(x)
        key, value = torch.cat([keys, heads(a.k(h))], 1), torch.cat([values, heads(a.v(h))], 1)
        x = x + a.o(attend(heads(a.q(h)), key, value, bias))
        if text is not None:
            c, h = block.layer[1].EncDecAttention, block.layer[1].layer_norm(x)
            x = x + c.o(attend(heads(c.q(h)), heads(c.k(text)), heads(c.v(text)), torch.zeros(())))
        x = block.layer[-1](x)
    return stack.final_layer_norm(x)  # type: ignore[no-any-return]


def test_a_prefix_gives_what_plain_attention_gives_in_encoder_and_decoder() -> None:
    backbone, inputs, prefix = backbone_of("mt5"), some_inputs((7, 4)), some_layers()
    found = backbone.encode(inputs, prefix=prefix)
    layers = [(k[0], v[0]) for k, v in prefix.layers(1, torch.float32)]
    for row, length in enumerate((7, 4)):
        ids = inputs.input_ids[row : row + 1, :length]
        text = plain_stack(backbone.model.encoder, backbone.embed(ids)[0], layers[:2], None)
        expected = plain_stack(backbone.model.decoder, backbone.embed(shifted(ids))[0], layers[2:], text)
        torch.testing.assert_close(found[row, :length], expected, atol=1e-5, rtol=0)


def plain_scores(text: Tensor) -> Tensor:
    """Log-likelihoods of the candidates from one run of the whole model each."""
    model, scores = language_model_of("mt5"), []
    for candidate in CANDIDATES:
        written = shifted(torch.tensor([candidate]))
        logits = model(input_ids=text[None], decoder_input_ids=written).logits[0].log_softmax(-1)
        scores.append(sum(logits[i, piece] for i, piece in enumerate(candidate)))
    return torch.stack(scores)  # type: ignore[arg-type]


def test_candidates_are_scored_by_what_the_decoder_writes_given_the_encoded_row() -> None:
    backbone, inputs = backbone_of("mt5"), some_inputs((7, 4))
    found = scoring.continuation_scores(backbone, inputs, CANDIDATES)
    for row, length in enumerate((7, 4)):
        torch.testing.assert_close(found[row], plain_scores(inputs.input_ids[row, :length]), atol=1e-4, rtol=0)
    normalised = scoring.continuation_scores(backbone, inputs, CANDIDATES, normalise=True)
    torch.testing.assert_close(normalised, found / torch.tensor([3, 2, 1, 3, 2]), atol=1e-6, rtol=0)


def test_single_pieces_are_scored_by_the_decoder_at_its_first_position() -> None:
    backbone, inputs = backbone_of("mt5"), some_inputs((7, 4))
    first = language_model_of("mt5")(
        input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, decoder_input_ids=torch.zeros(2, 1).long()
    ).logits[:, 0]
    found = scoring.continuation_scores(backbone, inputs, ((8,), (5,)))
    torch.testing.assert_close(found, first[:, [8, 5]], atol=1e-5, rtol=0)


def test_the_gradient_of_scores_reaches_every_weight() -> None:
    backbone = backbone_of("mt5")
    backbone.set_trained(True)
    scoring.continuation_scores(backbone, some_inputs((7, 4)), CANDIDATES).log_softmax(-1)[:, 0].sum().backward()
    for name, parameter in backbone.model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_checkpoint_whose_head_has_rows_of_its_own_keeps_them_apart_from_the_embeddings(tmp_path: Path) -> None:
    folder = folder_of("mt5", tmp_path)
    model = language_model_of("mt5")
    model.lm_head.weight = nn.Parameter(torch.randn(344, 32))
    model.save_pretrained(folder)
    backbone = load(BackboneConfig(name="tiny"), Locations(backbone_path=str(folder)))
    assert backbone.vocabulary_head is not None and backbone.vocabulary_head.rows is not None
    torch.testing.assert_close(backbone.vocabulary_head.rows, model.lm_head.weight)
    torch.testing.assert_close(backbone.encode(some_inputs()), backbone_of("mt5").encode(some_inputs()))
    assert backbone.num_parameters() == backbone_of("mt5").num_parameters()


def test_an_encoder_decoder_does_not_share_a_sentence_and_says_so() -> None:
    backbone, inputs = backbone_of("mt5"), some_inputs()
    owners = torch.tensor([0, 1])
    with pytest.raises(ConfigError, match=r"shared by its questions is for encoder and causal.*'mt5'"):
        scoring.encode_shared(backbone, inputs, inputs, owners)
    with pytest.raises(ConfigError, match=r"shared sentence is for causal backbones"):
        scoring.continuation_scores_shared(
            backbone, inputs, Inputs(inputs.input_ids, inputs.attention_mask), owners=owners, candidates=CANDIDATES
        )
