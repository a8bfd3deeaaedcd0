"""Shapes of well-known hub models, so that parameters and costs are counted without a network."""

from __future__ import annotations

from transformers import AutoConfig, PreTrainedConfig


def _bert(vocab_size: int, width: int, layers: int, heads: int) -> dict[str, object]:
    return {
        "model_type": "bert",
        "vocab_size": vocab_size,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
    }


def _xlm_roberta(width: int, layers: int, heads: int) -> dict[str, object]:
    return {
        **_bert(250_002, width, layers, heads),
        "model_type": "xlm-roberta",
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    }


def _xglm(width: int, ffn: int, layers: int, heads: int) -> dict[str, object]:
    return {
        "model_type": "xglm",
        "vocab_size": 256_008,
        "d_model": width,
        "ffn_dim": ffn,
        "num_layers": layers,
        "attention_heads": heads,
        "max_position_embeddings": 2048,
    }


def _bloom(width: int, layers: int, heads: int) -> dict[str, object]:
    return {"model_type": "bloom", "vocab_size": 250_880, "hidden_size": width, "n_layer": layers, "n_head": heads}


def _mt5(width: int, ffn: int, layers: int, heads: int) -> dict[str, object]:
    return {
        "model_type": "mt5",
        "vocab_size": 250_112,
        "d_model": width,
        "d_ff": ffn,
        "num_layers": layers,
        "num_heads": heads,
    }


SHAPES: dict[str, dict[str, object]] = {
    "google-bert/bert-base-cased": _bert(28_996, 768, 12, 12),
    "google-bert/bert-base-uncased": _bert(30_522, 768, 12, 12),
    "google-bert/bert-large-cased": _bert(28_996, 1024, 24, 16),
    "google-bert/bert-base-multilingual-cased": _bert(119_547, 768, 12, 12),
    "intfloat/multilingual-e5-small": {**_bert(250_037, 384, 12, 12), "architectures": ["BertModel"]},
    "FacebookAI/xlm-roberta-base": _xlm_roberta(768, 12, 12),
    "FacebookAI/xlm-roberta-large": _xlm_roberta(1024, 24, 16),
    "facebook/xglm-564M": _xglm(1024, 4096, 24, 16),
    "facebook/xglm-1.7B": _xglm(2048, 8192, 24, 16),
    "facebook/xglm-2.9B": _xglm(2048, 8192, 48, 16),
    "facebook/xglm-4.5B": _xglm(2048, 16384, 48, 16),
    "facebook/xglm-7.5B": _xglm(4096, 16384, 32, 32),
    "bigscience/bloom-560m": _bloom(1024, 24, 16),
    "bigscience/bloom-1b1": _bloom(1536, 24, 16),
    "bigscience/bloom-1b7": _bloom(2048, 24, 16),
    "bigscience/bloom-3b": _bloom(2560, 30, 32),
    "bigscience/bloom-7b1": _bloom(4096, 30, 32),
    "bigscience/bloom": _bloom(14336, 70, 112),
    "google/mt5-small": _mt5(512, 1024, 8, 6),
    "google/mt5-base": _mt5(768, 2048, 12, 12),
    "google/mt5-large": _mt5(1024, 2816, 24, 16),
    "google/mt5-xl": _mt5(2048, 5120, 24, 32),
    "google/mt5-xxl": _mt5(4096, 10240, 24, 64),
}
"""By hub id: what the parameter count and the position limit depend on, as arguments of the family's config.
``architectures`` tells of a checkpoint that holds no language-model head."""


def shape_of(name: str) -> PreTrainedConfig | None:
    """The transformers config of a well-known hub model, or None.

    Old ids without an organisation (``xlm-roberta-base``), the BLOOMZ models, of BLOOM's shapes, and the mT0 models, of
    mT5's, are known too.
    """
    key = name.replace("bigscience/bloomz", "bigscience/bloom").replace("bigscience/mt0", "google/mt5")
    if key != name:
        key = key.removesuffix("-mt").removesuffix("-p3")
    for known in (key, f"google-bert/{key}", f"FacebookAI/{key}"):
        if known in SHAPES:
            settings = dict(SHAPES[known])
            return AutoConfig.for_model(str(settings.pop("model_type")), **settings)
    return None
