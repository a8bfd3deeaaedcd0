"""MPT, the Multilingual Prompt Translator (Qiu et al. 2024, arXiv:2403.12407).

p_S is soft_prompt's prompt, p_T = translator(p_S) that of a target language; text of the source language is asked with
p_S, text of a target language with p_T. With P(text, p) the distribution over the answer words at the mask,

    weighted:  L = alpha * CE(source few-shot rows with p_S) + (1 - alpha) * KL
    added:     L = CE + alpha * KL
    KL = mean over parallel pairs (s, t) of KL(P(s, p_S) || P(t, p_T)) = sum_y P_s(y) (log P_s(y) - log P_t(y))

Summaries of the paper allow both readings; `weighted` is the default. As everywhere here the loss is a sum over labels,
so KL counts once for every label of the batch. For each row of a step one parallel pair is drawn with replacement,
uniformly over all pairs of all alignment languages; gradients flow to both sides of KL.

Where KL has no weight (alpha = 1 weighted, 0 added) or there is no corpus (`alignment: none`, which leaves CE alone)
the gradients are exactly soft_prompt's; the translator then stays as it was drawn and is not counted as trained.

What the paper leaves unsaid and we chose: soft_prompt's template and words; alpha = 0.5; the whole model is trained
(`freeze_backbone`); one translator for all target languages (`translator_sharing`); its inner width is the backbone's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from tunekit.errors import ConfigError, nearest, require
from tunekit.methods.base import Setting
from tunekit.methods.batch import Batch
from tunekit.methods.parts.alignment import Alignment
from tunekit.methods.parts.multilingual import LanguageBatch, kl_divergence
from tunekit.methods.parts.prompt_encoder import Translator, TranslatorKind
from tunekit.methods.soft_prompt import SoftPrompt, SoftPromptConfig
from tunekit.tasks import Task


@dataclass(frozen=True, kw_only=True)
class MPTConfig(SoftPromptConfig):
    """Options of MPT."""

    translator: TranslatorKind = "linear2"
    """What makes the target prompt of the source prompt: one or two layers of each kind."""
    translator_size: int | None = None
    """Width of the hidden layer of linear2 and of a transformer's perceptron, >= 1; null is the backbone's width."""
    translator_sharing: Literal["shared", "language"] = "shared"
    """One translator for all target languages, or one for each."""
    alpha: float = 0.5
    """Weight in the loss, 0 to 1; see `loss_form`."""
    loss_form: Literal["weighted", "added"] = "weighted"
    """alpha CE + (1 - alpha) KL (weighted), or CE + alpha KL (added)."""
    alignment: Literal["files", "fewshot", "pawsx", "toy", "none"] = "files"
    """Parallel text: of parallel_dir, the translated few-shot rows, PAWS-X's train, the toy world's, or none."""
    alignment_size: int | None = None
    """Parallel pairs of each language, a sample drawn by the task's `sample_seed`, >= 1; null takes all."""
    alignment_languages: tuple[str, ...] = ()
    """Target languages with parallel text; empty is all of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.alpha <= 1, "alpha", self.alpha, "between 0 and 1")
        for key in ("translator_size", "alignment_size"):
            value = getattr(self, key)
            require(value is None or value >= 1, key, value, "at least 1")
        if self.alignment == "none":
            for key in ("alignment_size", "alignment_languages"):
                if getattr(self, key):
                    raise ConfigError(f"{key} has no effect with alignment: none; drop one of them")

    @property
    def weights(self) -> tuple[float, float]:
        """Of CE and of KL."""
        if self.alignment == "none":
            return 1.0, 0.0
        return (self.alpha, 1 - self.alpha) if self.loss_form == "weighted" else (1.0, self.alpha)


class MPT(SoftPrompt[MPTConfig]):
    """Soft prompts, translated for each target language."""

    Config: ClassVar[type] = MPTConfig
    kinds: ClassVar[frozenset[str]] = frozenset({"pair"})

    def __init__(self, config: MPTConfig, setting: Setting) -> None:
        super().__init__(config, setting)
        num_targets = len(self.languages) - 1
        num_translators = 1 if config.translator_sharing == "shared" else num_targets
        self.translators = nn.ModuleList(self._fresh_translator() for _ in range(num_translators))
        self.alignment_languages = self._alignment_languages() if config.weights[1] > 0 else ()
        self.alignment = self._alignment(setting.task) if self.alignment_languages else None
        self.translators.requires_grad_(self.alignment is not None)

    @property
    def parallel_text(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.config.alignment, language) for language in self.alignment_languages)

    @property
    def num_computed_rows(self) -> int:
        return 1 if self.alignment is None else 3

    def loss(self, batch: Batch) -> Tensor:
        if self.alignment is None:
            return super().loss(batch)
        weight, divergence_weight = self.config.weights
        loss: Tensor = divergence_weight * batch.num_labels * self.divergence(batch.num_labels, batch.label_ids.device)
        if weight:
            loss = loss + weight * super().loss(batch)
        return loss

    def divergence(self, count: int, device: torch.device) -> Tensor:
        """KL, the mean over `count` drawn pairs of the divergence of the target's answers from the source's."""
        assert self.alignment is not None
        sides = self.alignment.draw(count, self.encode_all)
        source, target = (self.logits(self.collate(rows).to(device)) for rows in sides)
        return kl_divergence(source, target).mean()

    def prompts(self, batch: LanguageBatch) -> Tensor:
        source = super().prompts(batch)
        present = sorted(set(batch.languages))
        table = [self._in_language(source, language) for language in present]
        if len(table) == 1:
            return table[0]
        places = [present.index(language) for language in batch.languages]
        return torch.stack(table)[torch.tensor(places, device=source.device)]

    def _in_language(self, source: Tensor, language: int) -> Tensor:
        """p_S for the source language, p_T for another."""
        if language == 0:
            return source
        translator = self.translators[0 if self.config.translator_sharing == "shared" else language - 1]
        translated: Tensor = translator(source)
        return translated

    def _fresh_translator(self) -> Translator:
        return Translator(
            self.config.translator,
            self.backbone.hidden_size,
            hidden_size=self.config.translator_size or self.backbone.hidden_size,
            num_heads=self.backbone.num_heads,
            device=self.parameter_device,
        )

    def _alignment_languages(self) -> tuple[str, ...]:
        """The languages whose parallel text is read; raises where some of the task's would never be trained."""
        config, targets = self.config, self.languages[1:]
        if not targets:
            raise ConfigError(
                f"alignment is {config.alignment!r}, but the task names no target_languages to align; "
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
        pairs = {
            language: task.parallel(corpus, language, self.config.alignment_size)
            for corpus, language in self.parallel_text
        }
        return Alignment(pairs, label=self.labels[0])
