"""Tiny random backbones of every supported family, with tokenizers built on the spot, and a task to go with them."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, PreTrainedTokenizerFast

from tunekit.backbone import Backbone
from tunekit.backbone.architectures import ARCHITECTURES as KNOWN
from tunekit.backbone.loading import language_models
from tunekit.backbone.vocabulary import taken_apart
from tunekit.methods import Batch, Method, Setting
from tunekit.tasks import Example, PairExample, Task, TokenExample
from tunekit.trial import TaskConfig, TrainingConfig

ARCHITECTURES = ("bert", "roberta", "xlm-roberta", "xglm", "bloom", "mt5")
WORDS = ("the", "cat", "dog", "sees", "likes", "a", "red", "old", "house", "now", "here", "unhappily", "猫", "犬")
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
T5_SPECIAL = ("<pad>", "</s>", "<unk>", "<extra_id_0>")


def tokenizer_of(architecture: str) -> Any:
    """A small fast tokenizer in the manner of the family's own; those of encoders have a mask."""
    if architecture == "mt5":
        return _t5()
    made = {"bert": _wordpiece, "bloom": _byte_level}.get(architecture, _unigram)()
    if architecture == "xglm":
        _template(made, "</s> $A", "</s> $A </s> </s> $B")
    elif architecture in ("xlm-roberta", "roberta"):
        _template(made, "<s> $A </s>", "<s> $A </s> </s> $B </s>")
    elif architecture == "bert":
        _template(made, "<s> $A </s>", "<s> $A </s> $B:1 </s>:1")
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    if architecture not in ("xglm", "bloom"):
        names["mask_token"] = "<mask>"
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def _t5() -> Any:
    """Like mT5's: a text ends with "</s>", the padding piece is 0, and there is no piece to begin with."""
    made = _unigram(T5_SPECIAL)
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", T5_SPECIAL.index("</s>"))]
    )
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names, additional_special_tokens=["<extra_id_0>"])


def _unigram(special: tuple[str, ...] = SPECIAL) -> Tokenizer:
    """Like XLM-R's: a word begins with "▁", which is a piece of its own before Chinese characters."""
    words = [f"▁{word}" for word in WORDS if word.isascii() and word != "unhappily"]
    pieces = [*special, "▁", *words, "▁un", "happi", "ly", "猫", "犬", *"abcdefghijklmnopqrstuvwxyz", "<mask>"]
    made = Tokenizer(
        models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=special.index("<unk>"))
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def _wordpiece() -> Tokenizer:
    pieces = [*SPECIAL, *(w for w in WORDS if w != "unhappily"), "un", "##happi", "##ly", "<mask>"]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def _byte_level() -> Tokenizer:
    """Like BLOOM's: no special pieces around a text, and no space before its first word."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=list(SPECIAL), show_progress=False)
    made.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    return made


def _template(made: Tokenizer, single: str, pair: str) -> None:
    ids = [(piece, SPECIAL.index(piece)) for piece in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def config_of(architecture: str, **changes: Any) -> Any:
    """Two layers of width 32 with four heads; weights large enough for a difference to show."""
    common = {"vocab_size": 344, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    if architecture == "xglm":
        own = {"d_model": 32, "ffn_dim": 64, "num_layers": 2, "attention_heads": 4, "init_std": 0.2, "dropout": 0.0}
        own |= {"max_position_embeddings": 64, "attention_dropout": 0.0}
    elif architecture == "mt5":
        own = {"d_model": 32, "d_kv": 6, "d_ff": 64, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
        own |= {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1, "initializer_factor": 0.5}
    elif architecture == "bloom":
        own = {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.2}
    else:
        own = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        own |= {"max_position_embeddings": 66, "initializer_range": 0.2, "type_vocab_size": 2}
        own |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return AutoConfig.for_model(architecture, **{**common, **own, **changes})


@cache
def _model(architecture: str, dropout: float) -> Any:
    """A language model: body and head."""
    rates = {"bloom": "hidden_dropout", "xglm": "dropout", "mt5": "dropout_rate"}
    rate = rates.get(architecture, "hidden_dropout_prob")
    shape = config_of(architecture, **({rate: dropout} if dropout else {}))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = language_models[KNOWN[architecture].family].from_config(shape)
        with torch.no_grad():  # random biases too, which start at zero
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(std=0.1)
    return model


def language_model_of(architecture: str, *, dropout: float = 0.0) -> Any:
    """The whole model from transformers that `backbone_of` is made from, in eval mode."""
    return copy.deepcopy(_model(architecture, dropout)).eval()


def backbone_of(architecture: str, *, dtype: str = "fp32", dropout: float = 0.0, has_head: bool = True) -> Backbone:
    """A fresh backbone; equal arguments give equal weights."""
    body, head = taken_apart(language_model_of(architecture, dropout=dropout))
    tokenizer = tokenizer_of(architecture)
    backbone = Backbone(architecture, body, tokenizer, dtype=dtype, vocabulary_head=head if has_head else None)
    return backbone.eval()


def folder_of(architecture: str, folder: Path, dtype: torch.dtype = torch.float32, *, has_head: bool = True) -> Path:
    """The backbone saved in the hub's format."""
    model = language_model_of(architecture)
    (model if has_head else taken_apart(model)[0]).to(dtype).save_pretrained(folder)
    tokenizer_of(architecture).save_pretrained(folder)
    return folder


SENTENCES = (
    "the cat sees a red house",
    "a dog likes the old cat now",
    "here",
    "the old dog sees unhappily",
    "猫 likes 犬 here",
    "now a house",
    "red red cat",
    "unhappily the dog likes a house here now",
)
TAGS = ("N", "V", "X")


def tag_of(word: str) -> str:
    """Nouns, verbs, and the rest."""
    return "N" if word in ("cat", "dog", "house", "猫", "犬") else "V" if word in ("sees", "likes") else "X"


def examples_of(kind: str) -> tuple[Example, ...]:
    """Eight examples of different lengths."""
    if kind == "token":
        rows = [tuple(sentence.split()) for sentence in SENTENCES]
        return tuple(TokenExample(words, tuple(map(tag_of, words))) for words in rows)
    others = SENTENCES[3:] + SENTENCES[:3]
    return tuple(PairExample(a, b, TAGS[i % 3]) for i, (a, b) in enumerate(zip(SENTENCES, others, strict=True)))


def task_of(kind: Any, labels: tuple[str, ...] = TAGS) -> Task:
    """A task that holds `examples_of` in every split."""
    return Task(TaskConfig(name="tiny"), kind=kind, read=lambda split, language: examples_of(kind), labels=labels)


def setting_of(backbone: Backbone, task: Task, *, max_length: int = 40, word_piece: str = "first_text") -> Setting:
    """What a method is built on and for."""
    return Setting(backbone=backbone, task=task, training=TrainingConfig(max_length=max_length), word_piece=word_piece)


def whole_loss(method: Method, batch: Batch) -> torch.Tensor:
    """`loss`, and the side task's with its weight, once for every label: what an update on `batch` minimises."""
    loss = method.loss(batch)
    if method.side_task is not None and method.side_task.weight:
        for part in method.side_losses():
            loss = loss + batch.num_labels * method.side_task.weight * part
    return loss
