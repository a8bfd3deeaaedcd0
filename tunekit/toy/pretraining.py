"""How a toy backbone is made: a tokenizer, good initial weights, and a few hundred updates.

The initial weights make half a minute enough. Embeddings come from latent semantic indexing of parallel text (Dumais
et al. 1997), which puts words of one meaning beside each other; queries and keys begin equal, so that a word attends to
similar words (after Trockman & Kolter 2023, mimetic initialisation). The updates then train language modelling (masked
or causal) and, as in ELECTRA (Clark et al. 2020) and BERT's next-sentence prediction, the recognition of altered words
and sentences.

Pretraining leaves no trace in the process: torch's random state, number of threads and grad mode are as before.
Shapes: B documents, L tokens, D hidden size.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from tunekit.toy import documents
from tunekit.toy import world as toy_world
from tunekit.toy.documents import Document

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

log = logging.getLogger(__name__)

Progress = Callable[[int, int, float], None]
"""Called after each update with the updates done, the updates in all, and the loss."""

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
IGNORED = -100
"""torch's target for what no loss looks at."""
NUM_THREADS = 1
"""On any machine: the number decides the last bits of every sum, and two threads wait for each other on busy cores."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a toy backbone, but for the code."""

    architecture: Literal["bert", "xglm"]
    num_updates: int = 400
    """Optimiser updates. A handful makes a valid model that knows only what its embeddings know, in seconds."""
    batch_size: int = 32
    """Documents an update."""
    learning_rate: float = 2e-3
    """Peak rate of AdamW, after a tenth of the updates; falls linearly to zero."""
    vocabulary_size: int = 900
    """Tokens, special ones included; few enough that one word in five is split into several."""
    num_texts: int = 3000
    """Parallel texts that the tokenizer and the embeddings are made from."""
    num_layers: int = 4
    hidden_size: int = 128
    num_heads: int = 4
    max_positions: int = 512
    masked: float = 0.25
    """Share of the tokens that a BERT-like model has to guess."""
    seed: int = 0


def build(recipe: Recipe, into: Path, progress: Progress | None = None) -> None:
    """Pretrain `recipe`'s backbone and write config, weights (fp32, safetensors) and tokenizer to the folder `into`."""
    from safetensors.torch import save_file

    log.info("pretraining a toy %s, %d updates", recipe.architecture, recipe.num_updates)
    tokenizer = _tokenizer(recipe)
    with _leaving_no_trace(recipe.seed):
        model = _model(recipe, tokenizer)
        loss = _Pretraining(recipe, model, tokenizer).run(progress)
    log.info("pretrained a toy %s, last loss %.2f", recipe.architecture, loss)
    into.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(into)
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.named_parameters()}  # tied ones once
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(into)


@contextlib.contextmanager
def _leaving_no_trace(seed: int) -> Iterator[None]:
    import torch

    num_threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(NUM_THREADS)
        try:
            yield
        finally:
            torch.set_num_threads(num_threads)


def _tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    special = list(SPECIAL.values())
    trainer = trainers.BpeTrainer(vocab_size=recipe.vocabulary_size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(_parallel_texts(recipe), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    inputs = ["input_ids", "attention_mask", "token_type_ids"][: 3 if recipe.architecture == "bert" else 2]
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, model_max_length=recipe.max_positions, model_input_names=inputs, **SPECIAL
    )


def _parallel_texts(recipe: Recipe) -> list[str]:
    """Each text in all languages, one after the other."""
    meanings = itertools.islice(toy_world.meanings("text", "parallel"), recipe.num_texts)
    return [" ".join(toy_world.text(meaning, name) for name in toy_world.LANGUAGES) for meaning in meanings]


def _model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """The untrained model; mutates nothing but torch's random state."""
    import torch
    from transformers import BertConfig, BertForMaskedLM, XGLMConfig, XGLMForCausalLM

    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    shared: dict[str, Any] = {name: getattr(tokenizer, name) for name in names}
    shared |= {"vocab_size": len(tokenizer), "max_position_embeddings": recipe.max_positions}
    model: PreTrainedModel
    if recipe.architecture == "bert":
        layers: dict[str, Any] = {"num_hidden_layers": recipe.num_layers, "num_attention_heads": recipe.num_heads}
        layers |= {"hidden_size": recipe.hidden_size, "intermediate_size": 2 * recipe.hidden_size}
        model = BertForMaskedLM(BertConfig(**shared, **layers, initializer_range=0.05))
        # Beside words, positions start small: a word is to find its likes wherever they stand.
        torch.nn.init.normal_(model.bert.embeddings.position_embeddings.weight, std=0.025)
    else:
        layers = {"num_layers": recipe.num_layers, "attention_heads": recipe.num_heads}
        layers |= {"d_model": recipe.hidden_size, "ffn_dim": 2 * recipe.hidden_size, "layerdrop": 0.0}
        model = XGLMForCausalLM(XGLMConfig(**shared, **layers, init_std=0.05))
    parameters = dict(model.named_parameters())
    embeddings = cast("torch.nn.Embedding", model.get_input_embeddings())
    embeddings.weight.data.copy_(_aligned(tokenizer, recipe))
    for query, key in (("query.weight", "key.weight"), ("q_proj.weight", "k_proj.weight")):
        for name in (name for name in parameters if name.endswith(query)):
            torch.nn.init.orthogonal_(parameters[name])
            parameters[name.removesuffix(query) + key].data.copy_(parameters[name].data)
    return model


def _aligned(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> torch.Tensor:
    """Initial embeddings [tokens, D] in rows of norm 1: near each other if they occur in the same parallel texts."""
    import torch

    texts = tokenizer(_parallel_texts(recipe), add_special_tokens=False)["input_ids"]
    occurs = torch.zeros(len(texts), len(tokenizer), dtype=torch.float64)  # in fp32 the decomposition may not converge
    for row, ids in enumerate(texts):
        occurs[row, ids] = 1
    seen = occurs.any(0).nonzero().squeeze(1)
    together = occurs[:, seen].T @ occurs[:, seen]
    counts = together.diag()
    information = (together * len(texts) / counts / counts[:, None]).clamp(min=1).log()
    values, vectors = torch.linalg.eigh(information)
    rows = torch.randn(
        len(tokenizer), recipe.hidden_size, dtype=torch.float64
    )  # tokens that occur only inside others get any direction
    rows[seen] = vectors[:, -recipe.hidden_size :] * values[-recipe.hidden_size :].clamp(min=0).sqrt()
    return torch.nn.functional.normalize(rows, dim=1).float()


@dataclass(frozen=True)
class _Rows:
    """A batch of documents."""

    inputs: dict[str, torch.Tensor]
    """``input_ids``, ``attention_mask`` and for BERT ``token_type_ids``; each [B, L]."""
    altered_BL: torch.Tensor
    """1 at tokens of altered words, 0 at other tokens of the second sentence, else IGNORED."""
    is_altered_B: torch.Tensor


class _Pretraining:
    """Trains `model` in place."""

    def __init__(self, recipe: Recipe, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        import torch

        self.recipe, self.model, self.tokenizer = recipe, model, tokenizer
        model.eval()  # type: ignore[no-untyped-call]  # without dropout: these models are too small to overfit
        self.of_words = torch.nn.Linear(recipe.hidden_size, 2)
        self.of_sentences = torch.nn.Linear(recipe.hidden_size, 2)
        self.generator = torch.Generator().manual_seed(recipe.seed)

    def run(self, progress: Progress | None) -> float:
        """All updates; gives the last one's loss."""
        import torch

        num_updates = self.recipe.num_updates
        parts = (self.model, self.of_words, self.of_sentences)
        parameters = [parameter for part in parts for parameter in part.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=self.recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
        warmup = max(1, num_updates // 10)
        loss = float("nan")
        for done, rows in enumerate(self._batches()):
            factor = min((done + 1) / warmup, (num_updates - done) / max(1, num_updates - warmup))
            optimiser.param_groups[0]["lr"] = self.recipe.learning_rate * factor
            optimiser.zero_grad()
            losses = self._loss(rows)
            losses.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            loss = losses.item()
            if progress is not None:
                progress(done + 1, num_updates, loss)
        return loss

    def _batches(self) -> Iterator[_Rows]:
        """Documents of similar length together, in random order."""
        size = self.recipe.batch_size
        drawn = list(itertools.islice(documents.draw(self.recipe.seed), self.recipe.num_updates * size))
        firsts, seconds = [document.first for document in drawn], [document.second for document in drawn]
        encodings = self.tokenizer(firsts, seconds, is_split_into_words=True).encodings or []
        order = sorted(range(len(drawn)), key=lambda row: len(encodings[row].ids))
        chunks = [order[start : start + size] for start in range(0, len(order), size)]
        random.Random(self.recipe.seed).shuffle(chunks)
        for chunk in chunks:
            yield self._rows([(drawn[row], encodings[row]) for row in chunk])

    def _rows(self, chunk: Sequence[tuple[Document, Encoding]]) -> _Rows:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        def padded(rows: list[list[int]], value: int) -> torch.Tensor:
            return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)

        inputs = {
            "input_ids": padded([encoding.ids for _, encoding in chunk], self.tokenizer.pad_token_id),
            "attention_mask": padded([encoding.attention_mask for _, encoding in chunk], 0),
        }
        if self.recipe.architecture == "bert":
            inputs["token_type_ids"] = padded([encoding.type_ids for _, encoding in chunk], 0)
        altered = [_altered_tokens(document, encoding) for document, encoding in chunk]
        is_altered = torch.tensor([int(document.is_altered) for document, _ in chunk])
        return _Rows(inputs, padded(altered, IGNORED), is_altered)

    def _loss(self, rows: _Rows) -> torch.Tensor:
        import torch
        from torch.nn.functional import cross_entropy

        is_causal = self.recipe.architecture == "xglm"
        ids_BL, mask_BL = rows.inputs["input_ids"], rows.inputs["attention_mask"]
        altered_BL = rows.altered_BL
        inputs, labels_BL = rows.inputs, ids_BL.masked_fill(mask_BL == 0, IGNORED)
        if not is_causal:
            noisy_BL, labels_BL = self._masked(ids_BL)
            inputs = {**inputs, "input_ids": noisy_BL}
            altered_BL = altered_BL.masked_fill(labels_BL != IGNORED, IGNORED)  # what is hidden cannot be judged
        output = self.model(**inputs, labels=labels_BL, output_hidden_states=True, use_cache=False)
        hidden_BLD = output.hidden_states[-1]
        reader_B = mask_BL.sum(1) - 1 if is_causal else torch.zeros(len(ids_BL), dtype=torch.long)
        summary_BD = hidden_BLD[torch.arange(len(ids_BL)), reader_B]
        words = cross_entropy(self.of_words(hidden_BLD).flatten(0, 1), altered_BL.flatten(), ignore_index=IGNORED)
        sentences = cross_entropy(self.of_sentences(summary_BD), rows.is_altered_B)
        loss: torch.Tensor = output.loss + words + sentences
        return loss

    def _masked(self, ids_BL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of masked language modelling: of the tokens to guess, 80 % masked, 10 % random."""
        import torch

        chance_BL = torch.rand(ids_BL.shape, generator=self.generator)
        is_guessed_BL = (chance_BL < self.recipe.masked) & (ids_BL >= len(SPECIAL))
        kind_BL = torch.rand(ids_BL.shape, generator=self.generator)
        other_BL = torch.randint(len(SPECIAL), len(self.tokenizer), ids_BL.shape, generator=self.generator)
        noisy_BL = ids_BL.masked_fill(is_guessed_BL & (kind_BL < 0.8), self.tokenizer.mask_token_id)
        noisy_BL = torch.where(is_guessed_BL & (kind_BL >= 0.9), other_BL, noisy_BL)
        return noisy_BL, ids_BL.masked_fill(~is_guessed_BL, IGNORED)


def _altered_tokens(document: Document, encoding: Encoding) -> list[int]:
    return [
        int(document.altered_words[word]) if segment == 1 and word is not None else IGNORED
        for word, segment in zip(encoding.word_ids, encoding.sequence_ids, strict=True)
    ]
