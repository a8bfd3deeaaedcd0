"""Tokenizers in the manner of each family that can write every ASCII text, and keep chosen words whole."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SIGNS = [sign for sign in string.printable if not sign.isspace()]
ASKED = "The named entity pos tag of is a kind of : ."
"""The words of ToPro's questions."""


def spelling(architecture: str, texts: Sequence[str], *further: str) -> Any:
    """A tokenizer that writes each word of `texts` as one token; `further` are entries as they stand."""
    found = {word for text in (ASKED, *texts) for word in re.findall(r"\w+|\W", text) if word.strip()}
    words = sorted(found - set(SIGNS))
    if architecture == "bloom":
        return _byte_level(words)
    special = ["<pad>", "</s>", "<unk>"] if architecture == "mt5" else ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made = _wordpiece(special, words) if architecture == "bert" else _unigram(special, words, further)
    single, pair = {
        "bert": ("<s> $A </s>", "<s> $A </s> $B:1 </s>:1"),
        "xlm-roberta": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
        "xglm": ("</s> $A", "</s> $A </s> </s> $B"),
        "mt5": ("$A </s>", "$A </s> $B </s>"),
    }[architecture]
    ids = [(piece, special.index(piece)) for piece in ("<s>", "</s>") if piece in special]
    made.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    if architecture != "mt5":
        names |= {"bos_token": "<s>"}
    if architecture in ("bert", "xlm-roberta"):
        names |= {"mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def _byte_level(words: Sequence[str]) -> Any:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>", "</s>"],
        show_progress=False,
    )
    made.train_from_iterator([f" {word}" for word in words] * 2, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>")


def _wordpiece(special: Sequence[str], words: Sequence[str]) -> Tokenizer:
    pieces = [*special, *words, *SIGNS, *(f"##{sign}" for sign in SIGNS)]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def _unigram(special: Sequence[str], words: Sequence[str], further: Sequence[str]) -> Tokenizer:
    pieces = [*special, "▁", *(f"▁{word}" for word in words), *further, *SIGNS, "\n"]
    scored = [(piece, -float(i > len(special) + len(words))) for i, piece in enumerate(pieces)]
    made = Tokenizer(models.Unigram(scored, unk_id=special.index("<unk>")))
    made.normalizer = normalizers.Strip(left=False, right=True)  # as transformers does for sentencepiece
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made
