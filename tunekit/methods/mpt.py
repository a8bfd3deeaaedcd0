"""MPT, the Multilingual Prompt Translator (Qiu et al. 2024, arXiv:2403.12407).

p_S is soft_prompt's prompt, p_T = translator(p_S) that of a target language; text of the source language is asked with
p_S, text of a target language with p_T. With P(text, p) the distribution over the answer words at the mask,

    weighted:  L = alpha * CE(source few-shot rows with p_S) + (1 - alpha) * KL
    added:     L = CE + alpha * KL
    KL = mean over parallel pairs (s, t) of KL(P(s, p_S) || P(t, p_T)) = sum_y P_s(y) (log P_s(y) - log P_t(y))

Summaries of the paper allow both readings; `weighted` is the default. CE is the mean over the rows of an update, KL the
mean over `alignment_batch_size` pairs, drawn with replacement, uniformly over all pairs of all alignment languages.
Gradients flow to both sides of KL.

A few-shot trial makes few updates, too few for a translator that starts at random. So there are `alignment_updates`
further ones on KL alone, as many whatever the shots, before the labelled ones or spread between them
(`alignment_schedule`). They train the translator alone unless `alignment_trains` says otherwise: KL is also zero where
every text gets one answer, and a backbone that is trained on nothing else finds that.

Some pairs are held out (`alignment_heldout`): their KL is reported for each language, and of epochs with equal dev
scores the one with the smaller KL is kept. So selection sees the translator, without a label of a target language.

Where KL has no weight (alpha = 1 weighted, 0 added) and no updates of its own, or there is no corpus
(`alignment: none`, which leaves CE alone), the gradients are exactly soft_prompt's; the translator then stays as it was
drawn and is not counted as trained.

Tagging is our extension, a question that the paper leaves open: ToPro's question with the prompt before the mask, one
row for each word. Translations share no words, so KL compares what is said of a whole sentence: the mean over its words
(`alignment_words` of them) of the distribution over the tags.

What the paper leaves unsaid and we chose: soft_prompt's template and words; alpha = 0.5; the whole model is trained
(`freeze_backbone`); one translator for all target languages (`translator_sharing`); its inner width is the backbone's;
everything about updates, rates (`translator_learning_rate`, `prompt_learning_rate`) and held-out text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from tunekit.backbone.moving import moved
from tunekit.errors import ConfigError, nearest, quoted, require
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch, Part
from tunekit.methods.parts.alignment import Alignment, Rows, Sides, divided, groups
from tunekit.methods.parts.multilingual import LanguageBatch, kl_divergence
from tunekit.methods.parts.translators import Translation, TranslatorStart, make_translator
from tunekit.methods.soft_prompt import SoftPrompt, SoftPromptConfig
from tunekit.tasks import Task
from tunekit.trial import SideTask

ALIGNMENT_UPDATES = 500
"""Further updates on parallel text where nothing else is said."""
_OF_ALIGNMENT = (
    "alignment_size",
    "alignment_languages",
    "alignment_heldout",
    "alignment_batch_size",
    "alignment_updates",
)
"""Options that need parallel text."""


@dataclass(frozen=True, kw_only=True)
class MPTConfig(SoftPromptConfig):
    """Options of MPT."""

    translator: str = "linear2"
    """What makes the target prompt of the source prompt: a kind of ``registry.TRANSLATORS``, or a class of your own."""
    translator_size: int | None = None
    """Width of hidden layers: of linearN, residual and a transformer's perceptron, >= 1; null is the backbone's."""
    translator_sharing: Literal["shared", "language"] = "shared"
    """One translator for all target languages, or one for each."""
    translator_start: TranslatorStart = "published"
    """Start at random as published, or as the source prompt: p_T = p_S + f(p_S), where f starts as zero."""
    translator_learning_rate: float | None = None
    """Peak rate of the translator, > 0; null is `learning_rate`."""
    alpha: float = 0.5
    """Weight in the loss, 0 to 1; see `loss_form`."""
    loss_form: Literal["weighted", "added"] = "weighted"
    """alpha CE + (1 - alpha) KL (weighted), or CE + alpha KL (added)."""
    alignment: Literal["files", "fewshot", "pawsx", "toy", "none"] = "files"
    """Parallel text: of parallel_dir, the translated few-shot rows, PAWS-X's train, the toy world's, or none."""
    alignment_size: int | None = None
    """Parallel pairs of each language, a sample drawn by the task's `sample_seed` or draw, >= 1; null takes all."""
    alignment_languages: tuple[str, ...] = ()
    """Target languages with parallel text; empty is all of them."""
    alignment_heldout: int | None = None
    """Pairs of each language that are never drawn and whose KL is reported, >= 0; null is a 10th of the corpus, at most
    32 and at most what `alignment_size` leaves."""
    alignment_batch_size: int | None = None
    """Parallel pairs of an update, >= 1; null is `batch_size`."""
    alignment_words: int = 8
    """Tagging: words of a sentence of parallel text that are asked about, evenly spread over it, >= 1."""
    alignment_updates: int | None = None
    """Further updates of a trial on parallel text alone, >= 0; null is 500 where KL has a weight, else 0."""
    alignment_schedule: Literal["before", "beside"] = "beside"
    """The further updates come before the labelled ones, with a schedule of the rate of their own, or between them."""
    alignment_trains: Literal["translator", "all"] = "translator"
    """What the further updates train; the labelled ones train everything."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.alpha <= 1, "alpha", self.alpha, "between 0 and 1")
        for key in ("translator_size", "alignment_size", "alignment_batch_size", "alignment_words"):
            value = getattr(self, key)
            require(value is None or value >= 1, key, value, "at least 1")
        for key in ("alignment_heldout", "alignment_updates"):
            value = getattr(self, key)
            require(value is None or value >= 0, key, value, "0 or more")
        rate = self.translator_learning_rate
        require(rate is None or rate > 0, "translator_learning_rate", rate, "greater than 0")
        if self.alignment == "none":
            for key in _OF_ALIGNMENT:
                if getattr(self, key):
                    raise ConfigError(f"{key} has no effect with alignment: none; drop one of them")

    @property
    def weights(self) -> tuple[float, float]:
        """Of CE and of KL, in a labelled update."""
        if self.alignment == "none":
            return 1.0, 0.0
        return (self.alpha, 1 - self.alpha) if self.loss_form == "weighted" else (1.0, self.alpha)

    @property
    def num_alignment_updates(self) -> int:
        """Further updates of a trial on parallel text alone."""
        if self.alignment_updates is None:
            return ALIGNMENT_UPDATES if self.weights[1] else 0
        return self.alignment_updates

    @property
    def aligns(self) -> bool:
        """Whether parallel text is read."""
        return self.weights[1] > 0 or self.num_alignment_updates > 0


class MPT(SoftPrompt[MPTConfig]):
    """Soft prompts, translated for each target language."""

    Config: ClassVar[type] = MPTConfig
    kinds: ClassVar[frozenset[str]] = frozenset({"pair", "token"})

    def __init__(self, config: MPTConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        num_targets = len(self.languages) - 1
        num_translators = 1 if config.translator_sharing == "shared" else num_targets
        self.translators = nn.ModuleList(self._fresh_translator() for _ in range(num_translators))
        self.alignment_languages = self._alignment_languages() if config.aligns else ()
        self.alignment = self._alignment(setting.task) if self.alignment_languages else None
        self.alignment_batch_size = config.alignment_batch_size or setting.training.batch_size
        self.translators.requires_grad_(self.alignment is not None)

    @property
    def parallel_text(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.config.alignment, language) for language in self.alignment_languages)

    @property
    def learning_rates(self) -> Mapping[str, float]:
        rate = self.config.translator_learning_rate
        return {**super().learning_rates, **({} if rate is None else {"translators.": rate})}

    @property
    def side_task(self) -> SideTask | None:
        if self.alignment is None:
            return None
        config = self.config
        return SideTask(
            weight=config.weights[1],
            num_updates=config.num_alignment_updates,
            order=config.alignment_schedule,
            trains=("translators.",) if config.alignment_trains == "translator" else (),
            num_rows=2 * self.alignment_batch_size * self.alignment.rows_per_text,
            num_heldout_rows=self.alignment.num_heldout_rows,
        )

    def loss_of(self, logits: Tensor, batch: Batch) -> Tensor:
        weight = self.config.weights[0]
        # Also without a weight it is computed: as 0, a sum that back-propagates.
        return super().loss_of(logits, batch) if weight == 1 else weight * super().loss_of(logits, batch)

    def side_parts(self) -> Iterator[Part]:
        assert self.alignment is not None
        count = self.alignment_batch_size
        sides = list(zip(*self.alignment.draw(count, self.encode_all), strict=True))

        def divergence(logits: Tensor, _: Batch, chosen: Sequence[int]) -> Tensor:
            sizes = [len(rows) for number in chosen for rows in sides[number]]
            answers = _answers(logits, sizes)
            return kl_divergence(answers[0::2], answers[1::2]).sum() / count

        yield Part([(*mine, *theirs) for mine, theirs in sides], divergence)

    def divergences(self, sides: Sides) -> Tensor:
        """KL of each text [N]: how far the target's answer is from the source's."""
        source, target = (self._asked(texts) for texts in sides)
        return kl_divergence(source, target)

    @torch.no_grad()
    def diagnostics(self) -> Mapping[str, float]:
        """Over the pairs that are held out: ``<target>/alignment_kl``, and for the source ``answer_spread``.

        The first is the mean KL. The second is the mean KL of the answer to each source text from the mean of these
        answers: where both are near zero every text gets one answer, and a small KL shows nothing.
        """
        if self.alignment is None or not self.alignment.heldout:
            return {}
        answers: dict[Rows, Tensor] = {}  # the source's texts are mostly the same for every language
        found = {}
        for language in self.alignment.heldout:
            source, target = self.alignment.heldout_sides(language, self.encode_all)
            theirs = []
            for mine, part in groups((source, target), max_tokens=self.tokens_per_step):
                new = [rows for rows in dict.fromkeys(mine) if rows not in answers]
                answers.update(zip(new, self._asked(new), strict=True))
                theirs.append(self._asked(part))
            divergences = kl_divergence(torch.stack([answers[rows] for rows in source]), torch.cat(theirs))
            found[f"{language}/alignment_kl"] = math.fsum(divergences.tolist()) / len(source)
        scores = torch.stack(list(answers.values()))
        mean = scores.softmax(-1).mean(0).log().expand_as(scores)
        found[f"{self.languages[0]}/answer_spread"] = float(kl_divergence(scores, mean).mean())
        return found

    def _asked(self, texts: Sequence[Rows]) -> Tensor:
        """For each text the logarithm of the mean over its rows of P [N, labels]."""
        if not texts:
            return torch.empty(0, len(self.labels))
        rows = [row for found in texts for row in found]
        logits = self.logits(self.collate(rows).to(self.backbone.device))
        return _answers(logits, [len(found) for found in texts])

    def prompts(self, batch: LanguageBatch) -> Tensor:
        source = super().prompts(batch)
        present = sorted(set(batch.languages))
        table = [self._in_language(source, language) for language in present]
        if len(table) == 1:
            return table[0]
        (places,) = moved([torch.tensor([present.index(language) for language in batch.languages])], source.device)
        return torch.stack(table)[places]

    def _in_language(self, source: Tensor, language: int) -> Tensor:
        """p_S for the source language, p_T for another."""
        if language == 0:
            return source
        translator = self.translators[0 if self.config.translator_sharing == "shared" else language - 1]
        translated: Tensor = translator(source)
        return translated

    def _fresh_translator(self) -> Translation:
        return make_translator(
            self.config.translator,
            self.config.translator_start,
            width=self.backbone.hidden_size,
            hidden_size=self.config.translator_size or self.backbone.hidden_size,
            num_heads=self.backbone.num_heads,
            device=self.parameter_device,
        )

    def _alignment_languages(self) -> tuple[str, ...]:
        """The languages whose parallel text is read; raises where some of the task's would never be trained."""
        config, targets = self.config, self.languages[1:]
        if not targets:
            raise ConfigError(
                f"alignment is {quoted(config.alignment)}, but the task names no target_languages to align; "
                "name some, or use alignment: none"
            )
        for language in config.alignment_languages:
            if language not in targets:
                raise ConfigError(
                    f"alignment_languages: {language!r} is no target language; {nearest(language, targets)}"
                )
        languages = config.alignment_languages or targets
        untrained = [language for language in targets if language not in languages]
        if untrained and config.translator_sharing == "language":
            raise ConfigError(
                f"translator_sharing is 'language', but alignment_languages leaves out {', '.join(untrained)}, whose "
                "translators would never be trained; use translator_sharing: shared"
            )
        return languages

    def _alignment(self, task: Task) -> Alignment:
        """The parallel text; raises where the task or its files do not have it."""
        config, corpora = self.config, {}
        needed = (config.alignment_size or 1) + (config.alignment_heldout or 0)
        for corpus, language in self.parallel_text:
            pairs = task.parallel(corpus, language)
            # A corpus that has fewer says so when it is asked for them; only a stand-in for one makes more.
            corpora[language] = pairs if len(pairs) >= needed else task.parallel(corpus, language, needed)
        drawn, heldout = divided(
            corpora, size=config.alignment_size, heldout=config.alignment_heldout, seed=task.config.learning_seed
        )
        return Alignment(drawn, heldout=heldout, kind=self.kind, label=self.labels[0], num_words=config.alignment_words)


def _answers(logits: Tensor, sizes: Sequence[int]) -> Tensor:
    """The logarithm of the mean of P over the rows of each text [N, labels], which has so many rows each."""
    logs = logits.log_softmax(-1)
    if len(logs) == len(sizes):
        return logs
    return torch.stack([part.logsumexp(0) - math.log(len(part)) for part in torch.split(logs, list(sizes))])
