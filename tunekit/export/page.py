"""The README of an exported adapter: where it comes from, and code that uses it with transformers and peft alone."""

from __future__ import annotations

from typing import Any

from tunekit.markdown import code, plain
from tunekit.methods.parts.head import STATE_STD, HeadMethod
from tunekit.methods.parts.text_tokenizer import TextTokenizer
from tunekit.trial import TrialConfig

LOADING = '''\
import json

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModel, AutoTokenizer

BASE = {base!r}
tokenizer = AutoTokenizer.from_pretrained(BASE{revision})
body = AutoModel.from_pretrained(BASE{revision}, dtype=torch.{dtype}{arguments})
model = PeftModel.from_pretrained(body, ".").eval()
with safe_open("head.safetensors", framework="pt") as head:
    labels = json.loads(head.metadata()["labels"])
    weight, bias = head.get_tensor("weight"), head.get_tensor("bias")


def states_of(ids{types_parameter}):
    """Last hidden states [tokens, width], brought to one spread."""
    row = torch.tensor([ids])
    arguments = {{"input_ids": row, "attention_mask": torch.ones_like(row)}}
{extra}    with torch.no_grad():
        states = model(**arguments).last_hidden_state[0, {prompt}:].float()
    return {spread} * torch.nn.functional.layer_norm(states, states.shape[-1:])
'''

PAIR = '''
def label(text_a, text_b):
    """The label of a pair of texts."""
    a, b = (tokenizer(text, add_special_tokens=False).input_ids for text in (text_a, text_b))
    ids = [*{before}, *a, *{between}, *b, *{after}]
{types}    state = states_of(ids{types_argument})[{place}]
    return labels[(weight @ state + bias).argmax()]


print(label("The cat sees a red house .", "The house is red ."))
'''

TOKEN = '''
def label(words):
    """One label for each word."""
    ids, reads = {before}, []
    for word in words:
        tokens = tokenizer({space}word, add_special_tokens=False).input_ids or [{unknown}]
{reading}        reads.append([len(ids) + place{shift} for place in read])
        ids += tokens
    states = states_of(ids + {after})
    read = torch.stack([states[places].mean(0) for places in reads])
    return [labels[best] for best in (read @ weight.T + bias).argmax(-1)]


print(label("The cat sees a red house .".split()))
'''

READINGS = {
    "first": "        read = [0]\n",
    "last": "        read = [len(tokens) - 1]\n",
    "mean": "        read = range(len(tokens))\n",
    "first_text": """\
        blank = [not token.strip("▁Ġ") for token in tokenizer.convert_ids_to_tokens(tokens)]
        read = [blank.index(False) if False in blank else 0]
""",
}
"""By `word_piece`: the tokens of a word that the head reads."""

DECODER = """\
    arguments["decoder_input_ids"] = torch.tensor([[{start}, *ids[:-1]]])
"""


def page(config: TrialConfig, method: HeadMethod, *, base: str, epoch: int) -> str:
    """The text of README.md.

    Args:
        config: the trial.
        method: with its tokenizer.
        base: hub id or folder of the backbone.
        epoch: whose parameters these are.
    """
    task, training = config.task, config.training
    options = ", ".join(f"{plain(key)}: {plain(value)}" for key, value in sorted(config.options.items()))
    limit = "longer sentences are cut into windows" if method.kind == "token" else "longer pairs are cut"
    return f"""# {plain(config.method)} on {plain(task.name)}

Trained by tunekit on {code(base)}, {config.backbone.dtype}, for the task {plain(task.name)} in \
{plain(repr(task.source_language))}: trial {config.trial_id},
seed {config.seed}, epoch {epoch}, the best on dev. Options: {options}.
Labels: {", ".join(map(plain, method.labels))}.

`adapter_config.json` and `adapter_model.safetensors` are an adapter of plain [peft](https://github.com/huggingface/peft);
`head.safetensors` is the linear head that reads the last hidden states. To use both, in this folder:

```python
{_loading(config, method, base)}
{_pair(method) if method.kind == "pair" else _token(config, method)}```

While training, each row had at most {training.max_length} tokens, special ones included; in tunekit {limit}.
"""


def _loading(config: TrialConfig, method: HeadMethod, base: str) -> str:
    backbone, types = method.backbone, ""
    if _has_types(method):
        types = '    arguments["token_type_ids"] = torch.tensor([types])\n'
    is_bare = backbone.architecture.has_segments  # its pooler is not used, and not all checkpoints hold one
    return LOADING.format(
        base=base,
        revision=f", revision={config.backbone.revision!r}" if config.backbone.revision else "",
        dtype="bfloat16" if config.backbone.dtype == "bf16" else "float32",
        arguments=", add_pooling_layer=False" if is_bare else "",
        types_parameter=", types" if _has_types(method) else "",
        extra=types + (DECODER.format(start=_decoding_start(method)) if _is_shifted(method) else ""),
        prompt=method.num_input_positions,
        spread=STATE_STD,
    ).rstrip("\n")


def _is_shifted(method: HeadMethod) -> bool:
    """Whether a decoder reads the text, moved one position to the right."""
    return method.backbone.family == "encoder-decoder"


def _decoding_start(method: HeadMethod) -> int:
    config: Any = method.backbone.model.config
    start = config.decoder_start_token_id
    return int(config.pad_token_id if start is None else start)


def _has_types(method: HeadMethod) -> bool:
    special = TextTokenizer(method.backbone.tokenizer).pair_special_tokens
    return method.kind == "pair" and method.backbone.has_segments and any(special.text_types)


def _pair(method: HeadMethod) -> str:
    special = TextTokenizer(method.backbone.tokenizer).pair_special_tokens
    types = (
        f"    types = [*{list(special.before_types)}, *[{special.text_types[0]}] * len(a), "
        f"*{list(special.between_types)}, *[{special.text_types[1]}] * len(b), *{list(special.after_types)}]\n"
    )
    return PAIR.format(
        before=list(special.before),
        between=list(special.between),
        after=list(special.after),
        types=types if _has_types(method) else "",
        types_argument=", types" if _has_types(method) else "",
        place=-1 if method.backbone.is_causal or _is_shifted(method) else 0,
    )


def _token(config: TrialConfig, method: HeadMethod) -> str:
    text = TextTokenizer(method.backbone.tokenizer)
    return TOKEN.format(
        before=list(text.special_tokens.before),
        after=list(text.special_tokens.after),
        space='" " + ' if text.needs_space else "",
        unknown=text.unknown,
        shift=" + 1" if _is_shifted(method) else "",
        reading=READINGS["last" if method.backbone.is_causal else config.backbone.word_piece],
    )
