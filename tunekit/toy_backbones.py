"""Tiny backbones made here: a BERT-like and a causal XGLM-like model, pretrained on the toy world's unlabelled text.

What they read is parallel text (a sentence and its translation, Conneau & Lample 2019's TLM), short stories (a
sentence and a shorter one about the same event) and sentences in which some words are borrowed from another
language. No label of any task is in it. That aligns the languages well enough for zero-shot transfer.

A backbone is a folder in the Hugging Face format, built once a machine and cached under a name that holds a hash of
the recipe and of the code that carries it out. Pretraining leaves no trace in the process: torch's generator, thread
count and grad mode are as before.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import json
import logging
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunekit.config import Locations, StorageError, canonical_json
from tunekit.tasks import toy_world

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

log = logging.getLogger(__name__)

Progress = Callable[[int, int, float], None]
"""Called during pretraining with updates done, updates in all, and the loss (nats a piece)."""

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
MANIFEST = "complete.json"
"""Written last; holds the SHA-256 of every other file, so that a torn folder is recognised."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a toy backbone."""

    architecture: Literal["bert", "xglm"]
    num_updates: int = 500
    """Optimiser updates of pretraining; a handful makes a valid but ignorant model within a second."""
    batch_size: int = 64
    """Pairs of sentences an update."""
    learning_rate: float = 2e-3
    num_pieces: int = 900
    """Size of the vocabulary, special tokens included. Small enough that rarer words fall into several pieces."""
    num_layers: int = 4
    hidden_size: int = 128
    num_heads: int = 4
    max_positions: int = 512
    num_aligned: int = 3000
    init_std: float = 0.05
    random_share: float = 0.1
    ffn: int = 4
    stories: float = 0.3
    beta2: float = 0.98
    aux: float = 0.0
    corrected: bool = False
    mixed: float = 0.5
    anylender: bool = False
    mimetic: float = 1.0
    type_std: float = 0.05
    pos_scale: float = 0.5
    altered: float = 0.0
    switched: float = 0.3
    """Share of the words that a code-switched sentence borrows."""
    masked: float = 0.25
    """Share of the pieces that a BERT-like model has to guess."""
    seed: int = 0


BERT = Recipe(architecture="bert")
XGLM = Recipe(architecture="xglm")


def bert_folder(locations: Locations, progress: Progress | None = None) -> Path:
    """Folder of ``toy-bert``, a bidirectional masked language model; pretrained first if it is not cached yet."""
    return folder(BERT, locations, progress)


def xglm_folder(locations: Locations, progress: Progress | None = None) -> Path:
    """Folder of ``toy-xglm``, a causal language model; pretrained first if it is not cached yet."""
    return folder(XGLM, locations, progress)


def cache_dir(locations: Locations) -> Path:
    """Where toy backbones are kept: ``locations.cache_dir``, else ``$TUNEKIT_CACHE``, else ``~/.cache/tunekit``."""
    chosen = locations.cache_dir or os.environ.get("TUNEKIT_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "tunekit"


def folder(recipe: Recipe, locations: Locations, progress: Progress | None = None) -> Path:
    """The cached folder of `recipe`'s backbone, built if it is missing or torn.

    Processes may race: one builds, the others wait for it; a folder appears whole or not at all.

    Raises:
        StorageError: the cache cannot be written.
    """
    root = cache_dir(locations)
    target = root / f"toy-{recipe.architecture}-{_digest(recipe)}"
    if _is_whole(target):
        return target
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / f"{target.name}.lock"):
            if not _is_whole(target):
                _replace(target, recipe, progress)
    except OSError as error:
        raise StorageError(
            f"cannot keep the toy backbone in {root}: {error}; name a writable folder in $TUNEKIT_CACHE"
        ) from error
    return target


def build(recipe: Recipe, into: Path, progress: Progress | None = None) -> None:
    """Pretrain `recipe`'s backbone and write config, weights (fp32, safetensors) and tokenizer to the folder `into`."""
    from safetensors.torch import save_file

    log.info("pretraining toy-%s, %d updates", recipe.architecture, recipe.num_updates)
    tokenizer = _tokenizer(recipe)
    with _without_a_trace(recipe.seed):
        model = _model(recipe, tokenizer)
        model.get_input_embeddings().weight.data.copy_(_aligned(tokenizer, recipe))
        _mimetic(model, recipe)
        loss = _pretrain(model, tokenizer, recipe, progress)
    log.info("toy-%s is ready, last loss %.3f", recipe.architecture, loss)
    into.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(into)
    tied = {id(model.get_output_embeddings().weight)}
    tensors = {name: p.detach().contiguous() for name, p in model.named_parameters() if p is not None}
    assert tied
    save_file(tensors, into / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(into)


def _digest(recipe: Recipe) -> str:
    code = "".join(inspect.getsource(inspect.getmodule(item)) for item in (toy_world.render, build))  # type: ignore[arg-type]
    return hashlib.sha256((canonical_json(recipe) + code).encode()).hexdigest()[:12]


def _replace(target: Path, recipe: Recipe, progress: Progress | None) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        build(recipe, draft, progress)
        (draft / MANIFEST).write_text(json.dumps(_checksums(draft)))
        draft.chmod(0o755)
        if target.exists():
            target.rename(draft / "torn")
            (draft / "torn").rename(target.with_name(f"{draft.name}.torn"))
            shutil.rmtree(target.with_name(f"{draft.name}.torn"), ignore_errors=True)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _checksums(place: Path) -> dict[str, str]:
    files = sorted(path for path in place.iterdir() if path.name != MANIFEST)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _is_whole(place: Path) -> bool:
    try:
        return bool(json.loads((place / MANIFEST).read_text()) == _checksums(place))
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock that the system drops with the process; where there are none, go on without."""
    with path.open("w") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _without_a_trace(seed: int) -> Iterator[None]:
    import torch

    num_threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        torch.set_num_threads(2)  # the same everywhere: the count of threads decides the last bits of the weights
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
    trainer = trainers.BpeTrainer(vocab_size=recipe.num_pieces, special_tokens=list(SPECIAL.values()), show_progress=False)
    meanings = itertools.islice(toy_world.meanings("text"), 2000)
    lines = [sentence(meaning, language) for meaning in meanings for language in toy_world.LANGUAGES]
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    inputs = ["input_ids", "attention_mask"] + ["token_type_ids"] * (recipe.architecture == "bert")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=recipe.max_positions, model_input_names=inputs, **SPECIAL
    )


def sentence(meaning: toy_world.Clause, language: str) -> str:
    return " ".join(word.form for word in toy_world.render(meaning, language))


def _model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    from transformers import BertConfig, BertForMaskedLM, XGLMConfig, XGLMForCausalLM

    tokens = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if recipe.architecture == "bert":
        return BertForMaskedLM(
            BertConfig(
                hidden_size=recipe.hidden_size,
                num_hidden_layers=recipe.num_layers,
                num_attention_heads=recipe.num_heads,
                intermediate_size=recipe.ffn * recipe.hidden_size,
                max_position_embeddings=recipe.max_positions,
                initializer_range=recipe.init_std,
                **tokens,
            )
        )
    return XGLMForCausalLM(
        XGLMConfig(
            d_model=recipe.hidden_size,
            num_layers=recipe.num_layers,
            attention_heads=recipe.num_heads,
            ffn_dim=recipe.ffn * recipe.hidden_size,
            max_position_embeddings=recipe.max_positions,
            layerdrop=0.0,
            init_std=recipe.init_std,
            **tokens,
        )
    )


def _mimetic(model, recipe):
    import torch

    ps = dict(model.named_parameters())
    for name, p in ps.items():
        if recipe.mimetic and (name.endswith("query.weight") or name.endswith("q_proj.weight")):
            key = ps[name.replace("query", "key").replace("q_proj", "k_proj")]
            torch.nn.init.orthogonal_(p, gain=recipe.mimetic)
            key.data.copy_(p.data)
        if "token_type" in name:
            torch.nn.init.normal_(p, std=recipe.type_std)
        if "position_embeddings" in name:
            p.data.mul_(recipe.pos_scale)


def _aligned(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> torch.Tensor:
    """Initial embeddings of the pieces, rows of norm 1: latent semantic indexing of texts in all languages at once.

    Pieces that occur in the same parallel texts come near each other (Dumais et al. 1997). The transformer would
    find that by itself, but in many more updates.
    """
    import torch

    meanings = itertools.islice(toy_world.meanings("text", "alignment"), recipe.num_aligned)
    texts = [" ".join(sentence(meaning, language) for language in toy_world.LANGUAGES) for meaning in meanings]
    occurs = torch.zeros(len(texts), len(tokenizer))
    for row, ids in enumerate(tokenizer(texts, add_special_tokens=False)["input_ids"]):
        occurs[row, ids] = 1
    together = occurs.T @ occurs
    counts = together.diag().clamp(min=1)
    information = (together * len(texts) / counts / counts[:, None]).clamp(min=1).log()
    values, vectors = torch.linalg.eigh(information)
    rows = vectors[:, -recipe.hidden_size :] * values[-recipe.hidden_size :].clamp(min=0).sqrt()
    rows = rows + 1e-3 * torch.randn(rows.shape)  # pieces never seen still get a direction
    return torch.nn.functional.normalize(rows, dim=1)


@dataclass(frozen=True)
class Document:
    """Two sentences about one event, and which words of the second were altered."""

    first: list[str]
    second: list[str]
    wrong: list[bool]


def _documents(recipe: Recipe) -> Iterator[Document]:
    """A sentence and its translation, or a story's first and second sentence; the second is altered in every other one."""
    rng = random.Random(f"toy documents/{recipe.seed}")
    languages = list(toy_world.LANGUAGES)
    stories = toy_world.pairs("text", "stories")
    for meaning in toy_world.meanings("text", "documents"):
        one, two, lender = rng.sample(languages, k=3)
        following = meaning
        if rng.random() < recipe.stories:
            two = one
            meaning, following = next((a, b) for a, b, relation in stories if relation == "entailment")
        told = toy_world.altered(rng, following) if rng.random() < recipe.altered else following
        before = {word.slot: word.form for word in toy_world.render(following, two)}
        if recipe.corrected:
            right = [form for slot, form in before.items() if {w.slot: w.form for w in toy_world.render(told, two)}.get(slot) != form]
            said = _mixed(told, two, lender, recipe, rng) + (["</s>", *right, "!"])
            yield Document(_mixed(meaning, one, lender, recipe, rng), said, [False] * (len(said) + 1))
            continue
        wrong = [before.get(word.slot) != word.form for word in toy_world.render(told, two)]
        yield Document(_mixed(meaning, one, lender, recipe, rng), _mixed(told, two, lender, recipe, rng), [told!=following, *wrong])


def _mixed(meaning: toy_world.Clause, language: str, lender: str, recipe: Recipe, rng: random.Random) -> list[str]:
    words = toy_world.render(meaning, language)
    if rng.random() > recipe.mixed:
        return [word.form for word in words]
    if recipe.anylender:
        lent = [{word.slot: word.form for word in toy_world.render(meaning, l)} for l in toy_world.LANGUAGES]
    else:
        lent = [{word.slot: word.form for word in toy_world.render(meaning, lender)}]
    return [rng.choice(lent)[word.slot] if rng.random() < recipe.switched else word.form for word in words]


def _pretrain(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, progress: Progress | None) -> float:
    import torch

    model.eval()  # no dropout: these models are too small to overfit
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, betas=(0.9, recipe.beta2), weight_decay=0.01)
    generator = torch.Generator().manual_seed(recipe.seed)
    loss = torch.tensor(float("nan"))
    head = torch.nn.Linear(recipe.hidden_size, 4)
    optimiser.add_param_group({"params": head.parameters()})
    warmup = max(1, recipe.num_updates // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda done: min((done + 1) / warmup, (recipe.num_updates - done) / max(1, recipe.num_updates - warmup))
    )
    global STATS
    STATS = []
    for update, batch in enumerate(_batches(tokenizer, recipe)):
        loss = _loss(model, head, batch, tokenizer, recipe, generator, STATS)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(update + 1, recipe.num_updates, loss.item())
    return loss.item()


def _batches(tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of similar length, in random order."""
    import torch

    documents = list(itertools.islice(_documents(recipe), recipe.num_updates * recipe.batch_size))
    encoded = tokenizer([d.first for d in documents], [d.second for d in documents], is_split_into_words=True)
    wrong = [_wrong_pieces(encoded.encodings[row], d) for row, d in enumerate(documents)]
    order = sorted(range(len(documents)), key=lambda row: len(encoded["input_ids"][row]))
    chunks = [order[start : start + recipe.batch_size] for start in range(0, len(order), recipe.batch_size)]
    random.Random(recipe.seed).shuffle(chunks)
    for chunk in chunks:
        rows = {name: [values[row] for row in chunk] for name, values in encoded.items()}
        batch = dict(tokenizer.pad(rows, return_tensors="pt"))
        w = torch.full(batch["input_ids"].shape, -100)
        for i, row in enumerate(chunk):
            w[i, : len(wrong[row])] = torch.tensor(wrong[row])
        batch["wrong"] = w
        yield batch


def _wrong_pieces(encoding, document):
    ids = [
        -100 if segment != 1 else int(document.wrong[word + 1])
        for word, segment in zip(encoding.word_ids, encoding.sequence_ids)
    ]
    ids[0] = ids[-1] = int(document.wrong[0])
    return ids


def _loss(model, head, batch: dict[str, Any], tokenizer: PreTrainedTokenizerFast, recipe: Recipe, generator: torch.Generator, stats) -> torch.Tensor:
    import torch
    import torch.nn.functional as F

    batch = dict(batch)
    wrong = batch.pop("wrong")
    ids = batch["input_ids"]
    if recipe.architecture == "xglm":
        labels = ids.masked_fill(batch["attention_mask"] == 0, -100)
        out = model(**batch, labels=labels, use_cache=False, output_hidden_states=True)
    else:
        is_special = (ids == tokenizer.bos_token_id) | (ids == tokenizer.eos_token_id) | (ids == tokenizer.pad_token_id)
        is_guessed = (torch.rand(ids.shape, generator=generator) < recipe.masked) & ~is_special
        kind = torch.rand(ids.shape, generator=generator)
        noisy = ids.masked_fill(is_guessed & (kind < 0.9 - recipe.random_share), tokenizer.mask_token_id)
        other = torch.randint(len(SPECIAL), len(tokenizer), ids.shape, generator=generator)
        noisy = torch.where(is_guessed & (kind > 1 - recipe.random_share), other, noisy)
        labels = ids.masked_fill(~is_guessed, -100)
        out = model(**{**batch, "input_ids": noisy}, labels=labels, output_hidden_states=True)
        wrong = wrong.masked_fill(is_guessed & (wrong != -100), -100)
    hidden = out.hidden_states[-1]
    logits = head(hidden)
    B = len(ids)
    last = batch["attention_mask"].sum(1) - 1
    sent_pos = torch.zeros(B, dtype=torch.long) if recipe.architecture == "bert" else last
    gold = wrong[:, 0].clone()
    tokw = wrong.clone(); tokw[:, 0] = -100; tokw[torch.arange(B), last] = -100
    tok = F.cross_entropy(logits[..., :2].flatten(0, 1), tokw.flatten(), ignore_index=-100)
    sl = logits[torch.arange(B), sent_pos, 2:]
    sent = F.cross_entropy(sl, gold)
    stats.append((out.loss.item(), tok.item(), sent.item(), (sl.argmax(-1) == gold).float().mean().item()))
    return out.loss + recipe.aux * (tok + sent)
