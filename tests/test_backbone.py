"""The backbone: what reaches the text, what does not, and what is said when something does not fit."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch
from tiny_models import ARCHITECTURES, backbone_of, config_of, folder_of
from torch import Tensor
from transformers import AutoModel

from tunekit.backbone import Backbone, Inputs, Prefix, describe, load
from tunekit.backbone.shapes import SHAPES, shape_of
from tunekit.errors import ConfigError
from tunekit.trial import BackboneConfig, Locations


def some_inputs(lengths: tuple[int, ...] = (7, 4), width: int = 0) -> Inputs:
    """Rows of the given lengths, padded to the longest or to `width`."""
    generator = torch.Generator().manual_seed(1)
    size = max(*lengths, width)
    ids = torch.full((len(lengths), size), 1)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(4, 30, (length,), generator=generator)
    return Inputs(ids, (torch.arange(size)[None] < torch.tensor(lengths)[:, None]).long())


def some_prefix(backbone: Backbone, length: int = 3) -> Prefix:
    """A random prefix that wants gradients."""
    generator = torch.Generator().manual_seed(2)
    shape = (backbone.num_layers, length, backbone.num_heads, backbone.head_size)
    keys, values = (torch.randn(shape, generator=generator).requires_grad_() for _ in range(2))
    return Prefix(keys, values)


# What a prefix and a prompt do


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_prefix_changes_the_output_and_gets_a_gradient_at_every_layer(architecture: str) -> None:
    backbone = backbone_of(architecture)
    backbone.set_trained(False)
    prefix, inputs = some_prefix(backbone), some_inputs()
    plain, steered = backbone.encode(inputs), backbone.encode(inputs, prefix=prefix)
    assert plain.shape == steered.shape == (2, 7, 32)
    assert (plain - steered)[inputs.attention_mask.bool()].abs().amax(-1).min() > 1e-3, "each text position sees it"
    steered[inputs.attention_mask.bool()].square().sum().backward()
    for states in (prefix.keys, prefix.values):
        assert states.grad is not None
        assert (states.grad.abs().amax((1, 2, 3)) > 0).all()
    assert all(parameter.grad is None for parameter in backbone.parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_prompt_changes_the_output_and_gets_a_gradient_at_every_position(architecture: str) -> None:
    backbone = backbone_of(architecture)
    backbone.set_trained(False)
    prompt, inputs = torch.randn(3, 32, requires_grad=True), some_inputs()
    steered = backbone.encode(inputs, prompt=prompt)
    assert (backbone.encode(inputs) - steered)[inputs.attention_mask.bool()].abs().amax(-1).min() > 1e-4
    steered[inputs.attention_mask.bool()].square().sum().backward()
    assert prompt.grad is not None
    assert (prompt.grad.abs().amax(-1) > 0).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_prompt_of_word_embeddings_is_the_same_as_those_words(architecture: str) -> None:
    backbone, inputs = backbone_of(architecture), some_inputs((7, 7))
    ids = inputs.input_ids.clone()
    ids[:, :3] = ids[0, :3]
    whole = backbone.encode(Inputs(ids, inputs.attention_mask))[:, 3:]
    prompted = backbone.encode(Inputs(ids[:, 3:], inputs.attention_mask[:, 3:]), prompt=backbone.embed(ids[0, :3]))
    torch.testing.assert_close(whole, prompted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_prefix_a_row_is_the_same_as_each_row_on_its_own(architecture: str) -> None:
    backbone, inputs = backbone_of(architecture), some_inputs()
    one = some_prefix(backbone)
    other = Prefix(*(torch.randn(one.keys.shape) for _ in range(2)))
    both = Prefix(torch.stack([one.keys, other.keys], 1), torch.stack([one.values, other.values], 1))
    together = backbone.encode(inputs, prefix=both)
    for row, prefix in enumerate((one, other)):
        alone = backbone.encode(Inputs(inputs.input_ids[[row]], inputs.attention_mask[[row]]), prefix=prefix)
        torch.testing.assert_close(together[[row]], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("with_prompt", [False, True])
def test_hidden_states_do_not_depend_on_padding_or_on_the_other_rows(architecture: str, with_prompt: bool) -> None:
    backbone = backbone_of(architecture)
    prompts = {"prefix": some_prefix(backbone), "prompt": torch.randn(2, 32)} if with_prompt else {}
    tight, wide = some_inputs((7, 4)), some_inputs((7, 4), width=20)
    alone = Inputs(tight.input_ids[[1], :4], tight.attention_mask[[1], :4])
    with torch.no_grad():
        expected = backbone.encode(tight, **prompts)[1, :4]  # type: ignore[arg-type]
        for inputs, row in ((wide, 1), (alone, 0)):
            found = backbone.encode(inputs, **prompts)[row, :4]  # type: ignore[arg-type]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Plain causal attention of L text positions to P + L keys; all [H, ., Dh]."""
    num_text, num_all = query.shape[1], key.shape[1]
    later = torch.ones(num_text, num_all).triu(num_all - num_text + 1).bool()
    scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5 + bias
    return (scores.masked_fill(later, -torch.inf).softmax(-1) @ value).transpose(0, 1).flatten(1)


def heads_of(states: Tensor) -> Tensor:
    """[L, D] as [H, L, Dh]."""
    return states.unflatten(-1, (4, 8)).transpose(0, 1)


def test_a_prefix_on_xglm_gives_what_plain_attention_gives() -> None:
    backbone, inputs = backbone_of("xglm"), some_inputs((7, 7))
    prefix, model = some_prefix(backbone), backbone.model
    positions = model.embed_positions(torch.arange(3, 10)[None])[0]
    x = backbone.embed(inputs.input_ids[0]) + positions
    for layer, keys, values in zip(model.layers, prefix.keys, prefix.values, strict=True):
        a, h = layer.self_attn, layer.self_attn_layer_norm(x)
        key = torch.cat([keys.transpose(0, 1), heads_of(a.k_proj(h))], 1)
        value = torch.cat([values.transpose(0, 1), heads_of(a.v_proj(h))], 1)
        x = x + a.out_proj(attend(heads_of(a.q_proj(h)), key, value, torch.zeros(())))
        x = x + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(x))))
    expected = model.layer_norm(x)
    torch.testing.assert_close(backbone.encode(inputs, prefix=prefix)[0], expected, atol=1e-5, rtol=0)


def test_a_prefix_on_bloom_gives_what_plain_attention_with_distances_gives() -> None:
    backbone, inputs = backbone_of("bloom"), some_inputs((7, 7))
    prefix, model = some_prefix(backbone), backbone.model
    slopes = 2.0 ** -torch.tensor([2.0, 4.0, 6.0, 8.0])
    bias = slopes[:, None, None] * torch.arange(10)
    x = model.word_embeddings_layernorm(backbone.embed(inputs.input_ids[0]))
    for block, keys, values in zip(model.h, prefix.keys, prefix.values, strict=True):
        mixed = block.self_attention.query_key_value(block.input_layernorm(x)).view(7, 4, 3, 8).permute(2, 1, 0, 3)
        key = torch.cat([keys.transpose(0, 1), mixed[1]], 1)
        value = torch.cat([values.transpose(0, 1), mixed[2]], 1)
        x = x + block.self_attention.dense(attend(mixed[0], key, value, bias))
        x = x + block.mlp.dense_4h_to_h(block.mlp.gelu_impl(block.mlp.dense_h_to_4h(block.post_attention_layernorm(x))))
    expected = model.ln_f(x)
    torch.testing.assert_close(backbone.encode(inputs, prefix=prefix)[0], expected, atol=1e-5, rtol=0)


# Number formats


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bf16_runs_close_to_fp32_frozen_and_trained_and_gives_fp32(architecture: str) -> None:
    exact, rough, inputs = backbone_of(architecture), backbone_of(architecture, dtype="bf16"), some_inputs()
    real = inputs.attention_mask.bool()
    prompts = {"prefix": some_prefix(exact), "prompt": torch.randn(2, 32, requires_grad=True)}
    expected = exact.encode(inputs, **prompts)[real]  # type: ignore[arg-type]
    for trained, weights in ((False, torch.bfloat16), (True, torch.float32), (False, torch.bfloat16)):
        rough.set_trained(trained)
        assert {p.dtype for p in rough.parameters()} == {weights}
        found = rough.encode(inputs, **prompts)[real]  # type: ignore[arg-type]
        assert found.dtype == torch.float32
        assert 0 < (found - expected).abs().mean() < 0.15 * expected.std()
    found.sum().backward()
    assert all(
        states.grad.isfinite().all() and states.grad.dtype == torch.float32
        for states in (
            prompts["prompt"],
            prompts["prefix"].keys,
            prompts["prefix"].values,  # type: ignore[union-attr]
        )
    )


def test_turning_bf16_weights_into_trained_ones_and_back_changes_no_bit() -> None:
    backbone = backbone_of("xglm", dtype="bf16")
    before = {name: t.clone() for name, t in (*backbone.named_parameters(), *backbone.named_buffers())}
    backbone.set_trained(True)
    backbone.set_trained(False)
    after = dict((*backbone.named_parameters(), *backbone.named_buffers()))
    assert all(torch.equal(before[name], after[name]) for name in before)


# Length


def test_positions_are_those_left_for_prompt_and_text() -> None:
    found = {architecture: backbone_of(architecture).max_positions for architecture in ARCHITECTURES}
    assert found == {"bert": 66, "roberta": 64, "xlm-roberta": 64, "xglm": 64, "bloom": None, "mt5": None}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prompt_and_text_may_fill_every_position_and_not_one_more(architecture: str) -> None:
    backbone = backbone_of(architecture)
    limit = backbone.max_positions or 80
    hidden = backbone.encode(some_inputs((limit - 3, 2)), prefix=some_prefix(backbone))
    assert hidden.isfinite().all()
    backbone.check_length(prompt_length=3, max_length=limit - 3)
    if backbone.max_positions:
        with pytest.raises(
            ConfigError, match=rf"3 \+ {limit - 2} = {limit + 1}.*prompt_length at most 2 or max_length"
        ):
            backbone.check_length(prompt_length=3, max_length=limit - 2)
        with pytest.raises(ConfigError, match=f"max_length is {limit + 1}, must be at most {limit}"):
            backbone.check_length(prompt_length=0, max_length=limit + 1)


# Loading


def local(folder: Path | str) -> Locations:
    return Locations(backbone_path=str(folder))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_backbone_loads_whole_from_its_folder_without_any_network(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    folder = folder_of(architecture, tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    backbone, expected = load(BackboneConfig(name="tiny"), local(folder)), backbone_of(architecture)
    assert not backbone.training
    assert not any(p.requires_grad for p in backbone.parameters())
    torch.testing.assert_close(backbone.encode(some_inputs()), expected.encode(some_inputs()))
    assert backbone.tokenizer("the cat")["input_ids"] == expected.tokenizer("the cat")["input_ids"]
    described = describe(BackboneConfig(name="tiny"), local(folder))
    assert described.device.type == "meta"
    assert described.num_parameters() == backbone.num_parameters() == expected.num_parameters()


@pytest.mark.parametrize(("dtype", "expected"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_weights_stored_in_fp16_become_the_format_asked_for(tmp_path: Path, dtype: str, expected: torch.dtype) -> None:
    folder = folder_of("bert", tmp_path, torch.float16)
    backbone = load(BackboneConfig(name="tiny", dtype=dtype), local(folder))  # type: ignore[arg-type]
    assert {p.dtype for p in backbone.parameters()} == {expected}


def test_a_folder_that_is_not_there_is_named() -> None:
    for locations in (local("nowhere/tiny"), Locations()):
        with pytest.raises(ConfigError, match=r"there is no folder '.*nowhere/tiny'"):
            load(BackboneConfig(name="./nowhere/tiny"), locations)


def test_a_folder_without_a_config_is_described(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ConfigError, match=r"has no config\.json \(it holds: notes\.txt\)"):
        load(BackboneConfig(name="tiny"), local(tmp_path))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"torn" * 9), "cannot load it from"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot load its tokenizer from|slow"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json|JSON"),
    ],
    ids=["no weights", "torn weights", "no tokenizer", "torn config"],
)
def test_a_missing_or_torn_file_is_one_clear_error(tmp_path: Path, harm: object, message: str) -> None:
    folder = folder_of("bert", tmp_path)
    harm(folder)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=message):
        load(BackboneConfig(name="tiny"), local(folder))


def edit_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_weights_that_do_not_fill_the_model_are_refused(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path)
    edit_config(folder, num_hidden_layers=3)
    with pytest.raises(ConfigError, match=r"16 weights are missing .*encoder\.layer\.2"):
        load(BackboneConfig(name="tiny"), local(folder))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = folder_of("bert", tmp_path / "one")
    big = backbone_of("bloom").tokenizer
    big.add_tokens([f"new{i}" for i in range(400)])
    big.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"its tokenizer has .* tokens, its model only 344"):
        load(BackboneConfig(name="tiny"), local(folder))


@pytest.mark.parametrize("reader", [load, describe])
def test_an_architecture_that_ignores_a_prefix_is_refused(tmp_path: Path, reader: object) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5", "d_model": 32}))
    with pytest.raises(ConfigError, match=r"architecture 't5', which is not supported.*mt5"):
        reader(BackboneConfig(name="tiny"), local(tmp_path))  # type: ignore[operator]


def test_an_encoder_configured_as_a_decoder_is_refused() -> None:
    with pytest.raises(ConfigError, match="is_decoder"):
        Backbone("tiny", AutoModel.from_config(config_of("bert", is_decoder=True)))


def test_a_hub_model_that_cannot_be_reached_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"'someone/unheard-of'.*hub id.*local folder"):
        load(BackboneConfig(name="someone/unheard-of"), Locations())


# Shapes


def test_well_known_models_are_described_offline_with_their_published_sizes() -> None:
    published = {
        "facebook/xglm-564M": 564_463_616,
        "facebook/xglm-1.7B": 1_732_907_008,
        "facebook/xglm-7.5B": 7_492_771_840,
        "bigscience/bloom-560m": 559_214_592,
        "bigscience/bloomz-7b1": 7_069_016_064,
        "xlm-roberta-base": 278_043_648 - 768 * 769,  # less the pooler
        "bert-base-multilingual-cased": 177_853_440 - 768 * 769,
        "google/mt5-small": 300_176_768 - 250_112 * 512,  # less the rows of the head
        "bigscience/mt0-base": 582_401_280 - 250_112 * 768,
    }
    for name, size in published.items():
        assert describe(BackboneConfig(name=name), Locations()).num_parameters() == size, name


def test_variants_are_of_the_shape_of_the_model_that_they_were_trained_from() -> None:
    for name, known in (
        ("bigscience/mt0-xxl-mt", "google/mt5-xxl"),
        ("bigscience/mt0-small", "google/mt5-small"),
        ("bigscience/bloomz-7b1-p3", "bigscience/bloom-7b1"),
        ("bigscience/bloomz", "bigscience/bloom"),
    ):
        assert shape_of(name).to_dict() == shape_of(known).to_dict()  # type: ignore[union-attr]
    assert shape_of("google/mt5-huge") is None


@pytest.mark.parametrize("name", SHAPES)
def test_every_known_shape_is_one_that_a_prompt_can_steer(name: str) -> None:
    backbone = describe(BackboneConfig(name=name), Locations())
    if backbone.family != "encoder-decoder":  # theirs is a number of its own
        assert backbone.head_size * backbone.num_heads == backbone.hidden_size
    backbone.check_length(prompt_length=50, max_length=128)


def test_the_real_small_model_loads_and_sees_its_prefix(shared: Path) -> None:
    backbone = load(BackboneConfig(name="mini-xlmr"), local(shared / "models" / "mini-xlmr"))
    assert (backbone.num_layers, backbone.hidden_size, backbone.num_heads) == (12, 384, 12)
    assert not backbone.is_causal
    tokens = backbone.tokenizer("Paris is the capital of France.", return_tensors="pt")
    inputs = Inputs(tokens["input_ids"], tokens["attention_mask"])
    plain, steered = backbone.encode(inputs), backbone.encode(inputs, prefix=some_prefix(backbone))
    assert plain.shape == (1, tokens["input_ids"].shape[1], 384)
    assert (plain - steered).abs().max() > 1e-2
