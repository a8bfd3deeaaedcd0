"""States of the positions that are read, and trained embeddings before and inside the text."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_backbone import some_inputs, some_prefix
from test_backbone_vocabulary import ENCODERS
from tiny_models import ARCHITECTURES, backbone_of
from torch import Tensor, nn

from tunekit.backbone import Inputs, Reading, read
from tunekit.backbone.inputs import padded

ROWS, COLUMNS = torch.tensor([2, 0, 0, 2, 0]), torch.tensor([1, 6, 0, 0, 6])
"""Out of order, one row without a reading, one position read twice."""


def three_rows() -> Inputs:
    """Rows of different lengths in two segments."""
    inputs = some_inputs((7, 4, 3))
    segments = (torch.arange(7)[None] >= torch.tensor([3, 2, 1])[:, None]).long() * inputs.attention_mask
    return Inputs(inputs.input_ids, inputs.attention_mask, segments)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("before", ["nothing", "prefix", "prompt", "both"])
def test_states_of_the_positions_read_are_those_of_the_whole(architecture: str, before: str) -> None:
    backbone, inputs = backbone_of(architecture), three_rows()
    put: dict[str, object] = {}
    if before in ("prefix", "both"):
        put["prefix"] = some_prefix(backbone)
    if before in ("prompt", "both"):
        put["prompt"] = torch.randn(2, 32)
    expected = backbone.encode(inputs, **put)[ROWS, COLUMNS]  # type: ignore[arg-type]
    found = backbone.encode_at(inputs, ROWS, COLUMNS, **put)  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ENCODERS)
@pytest.mark.parametrize("trained", [False, True])
def test_reading_gives_the_gradients_of_the_whole(architecture: str, trained: bool) -> None:
    weights, grads = torch.randn(5, 32), []
    for is_whole in (True, False):
        backbone, inputs = backbone_of(architecture), three_rows()
        backbone.set_trained(trained)
        prefix = some_prefix(backbone)
        states = (
            backbone.encode(inputs, prefix=prefix)[ROWS, COLUMNS]
            if is_whole
            else backbone.encode_at(inputs, ROWS, COLUMNS, prefix=prefix)
        )
        (states * weights).sum().backward()
        found = {name: p.grad for name, p in backbone.model.named_parameters() if p.grad is not None}
        grads.append({**found, "keys": prefix.keys.grad, "values": prefix.values.grad})
    assert grads[0].keys() == grads[1].keys()
    assert len(grads[0]) > (30 if trained else 1)
    for name, expected in grads[0].items():
        torch.testing.assert_close(grads[1][name], expected, atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("architecture", ENCODERS)
@pytest.mark.parametrize("trained", [False, True])
def test_in_bf16_reading_is_as_close_to_fp32_as_the_whole(architecture: str, trained: bool) -> None:
    exact, rough, inputs = backbone_of(architecture), backbone_of(architecture, dtype="bf16"), three_rows()
    rough.set_trained(trained)
    prefix = some_prefix(exact)
    expected = exact.encode(inputs, prefix=prefix)[ROWS, COLUMNS]
    found = rough.encode_at(inputs, ROWS, COLUMNS, prefix=prefix)
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().mean() < 0.15 * expected.std()


@pytest.mark.parametrize("architecture", ENCODERS)
def test_an_encoder_computes_its_last_layer_only_where_it_is_read(architecture: str) -> None:
    backbone, inputs, shapes = backbone_of(architecture), three_rows(), []
    first, last = backbone.model.encoder.layer  # type: ignore[union-attr, misc]
    for layer in (first, last):
        for module in (layer.attention.self.query, layer.intermediate.dense):
            module.register_forward_hook(lambda _, given, __: shapes.append(tuple(given[0].shape)))
    backbone.encode_at(inputs, ROWS, COLUMNS)
    assert shapes == [(3, 7, 32), (3, 7, 32), (5, 32), (5, 32)]


@pytest.mark.parametrize("architecture", ENCODERS)
def test_dropout_acts_on_the_positions_read(architecture: str) -> None:
    backbone, inputs = backbone_of(architecture, dropout=0.5).train(), three_rows()
    torch.manual_seed(0)
    drawn = torch.stack([backbone.encode_at(inputs, ROWS, COLUMNS) for _ in range(300)])
    whole = torch.stack([backbone.encode(inputs)[ROWS, COLUMNS] for _ in range(300)])
    assert (drawn[0] - drawn[1]).abs().max() > 0.1
    torch.testing.assert_close(drawn.mean(0), whole.mean(0), atol=0.45, rtol=0)
    torch.testing.assert_close(drawn.std(), whole.std(), atol=0.03, rtol=0)


def test_reading_nothing_gives_no_states() -> None:
    none = torch.zeros(0, dtype=torch.long)
    for architecture in ARCHITECTURES:
        assert backbone_of(architecture).encode_at(three_rows(), none, none).shape == (0, 32)


# Embeddings before and inside the text


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_prompt_a_row_is_the_same_as_each_row_on_its_own(architecture: str) -> None:
    backbone, inputs, prompts = backbone_of(architecture), three_rows(), torch.randn(3, 2, 32)
    together = backbone.encode(inputs, prompt=prompts)
    for row, prompt in enumerate(prompts):
        alone = backbone.encode(
            Inputs(*(t[[row]] for t in (inputs.input_ids, inputs.attention_mask, inputs.token_type_ids))),  # type: ignore[index]
            prompt=prompt,
        )
        torch.testing.assert_close(together[[row]], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        backbone.encode_at(inputs, ROWS, COLUMNS, prompt=prompts), together[ROWS, COLUMNS], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_embeddings_given_in_place_of_the_words_own_are_read_and_get_gradients(architecture: str) -> None:
    backbone, inputs = backbone_of(architecture), three_rows()
    backbone.set_trained(False)
    words = backbone.embed(inputs.input_ids)
    torch.testing.assert_close(backbone.encode(inputs, embedded=words), backbone.encode(inputs))
    soft = nn.Parameter(torch.randn(2, 32))
    inside = words.clone()
    inside[:, 1:3] = soft
    steered = backbone.encode_at(inputs, ROWS, COLUMNS, embedded=inside)
    assert (steered - backbone.encode(inputs)[ROWS, COLUMNS]).abs().max() > 1e-2
    steered.square().sum().backward()
    assert soft.grad is not None and (soft.grad.abs().amax(-1) > 0).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_fp32_embeddings_may_be_given_to_a_bf16_backbone(architecture: str) -> None:
    backbone, inputs = backbone_of(architecture, dtype="bf16"), three_rows()
    for trained in (False, True):
        backbone.set_trained(trained)
        words: Tensor = backbone.embed(inputs.input_ids).float()
        torch.testing.assert_close(backbone.encode(inputs, embedded=words), backbone.encode(inputs))


@pytest.mark.parametrize("lengths", [(7, 4, 6), (6, 6, 6)])
@pytest.mark.parametrize("architecture", ENCODERS)
def test_what_is_known_of_rows_changes_no_bit_of_what_is_read(architecture: str, lengths: tuple[int, ...]) -> None:
    backbone, inputs = backbone_of(architecture), padded([tuple(range(5, 5 + n)) for n in lengths], pad_id=1)
    assert inputs.has_padding == (not inputs.attention_mask.all())
    rows, columns = torch.tensor([2, 0, 0, 1]), torch.tensor([1, 5, 0, 3])
    known = Reading(inputs, rows, columns, most_in_row=2)
    unknown = Reading(replace(inputs, has_padding=None), rows, columns)
    for readings in ([known], [known, known]):
        for found, expected in zip(read(backbone, readings), read(backbone, [unknown] * len(readings)), strict=True):
            assert torch.equal(found, expected)
