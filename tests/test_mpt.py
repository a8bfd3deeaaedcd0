"""MPT: its loss against numbers worked out by hand, the direction of KL, and which text gets which prompt."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from multilingual_tasks import PAIRS, TARGETS, batch_of, make, rows_of, task_in
from tiny_models import backbone_of, examples_of, whole_loss

from tunekit.errors import ConfigError
from tunekit.methods import count_parameters
from tunekit.registry import TRANSLATORS
from tunekit.tasks import PairExample


def mpt(architecture: str = "xlm-roberta", **options: Any) -> Any:
    return make("mpt", backbone_of(architecture), **options)


def aligned(method: Any, seed: int) -> float:
    """The side task's loss on the pairs that `seed` draws."""
    torch.manual_seed(seed)
    return float(sum(part.item() for part in method.side_losses()))


def drawn(method: Any, seed: int, count: int) -> Any:
    """Source rows and target rows of the pairs that `seed` draws."""
    torch.manual_seed(seed)
    sides = method.alignment.draw(count, method.encode_all)
    return tuple([row for (row,) in side] for side in sides)


def divergence_by_hand(method: Any, seed: int, count: int) -> float:
    """The mean of sum_y P_s(y) (log P_s(y) - log P_t(y)) over the pairs that `seed` draws."""
    sides = [method.logits(method.collate(rows)).tolist() for rows in drawn(method, seed, count)]
    total = 0.0
    for source, target in zip(*sides, strict=True):
        p, q = ([math.exp(x) / sum(map(math.exp, row)) for x in row] for row in (source, target))
        total += sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
    return total / count


@pytest.mark.parametrize(
    ("form", "alpha", "weights"),
    [("weighted", 0.3, (0.3, 0.7)), ("weighted", 0.0, (0.0, 1.0)), ("added", 0.3, (1.0, 0.3)), ("added", 1.0, (1, 1))],
)
@pytest.mark.parametrize("size", [1, 7])
def test_the_loss_is_what_its_formula_says_with_a_batch_of_its_own_for_alignment(
    form: str, alpha: float, weights: tuple[float, float], size: int
) -> None:
    method = mpt(alpha=alpha, loss_form=form, alignment_batch_size=size).eval()
    batch = batch_of(method, count=5)
    logits = method.logits(batch).tolist()
    cross_entropy = sum(
        math.log(sum(map(math.exp, row))) - row[label]
        for row, label in zip(logits, batch.label_ids.tolist(), strict=True)
    )
    expected = weights[0] * cross_entropy + weights[1] * 5 * divergence_by_hand(method, 3, size)
    assert method.loss(batch).item() == pytest.approx(weights[0] * cross_entropy, abs=1e-4), "labelled rows alone"
    torch.manual_seed(3)
    assert whole_loss(method, batch).item() == pytest.approx(expected, abs=1e-4)


def test_the_divergence_is_of_the_targets_answers_from_the_sources_and_not_the_reverse() -> None:
    method = mpt(alignment_batch_size=6).eval()
    found = aligned(method, 5)
    source, target = (method.logits(method.collate(rows)).softmax(-1).double().detach() for rows in drawn(method, 5, 6))
    forward = (source * (source / target).log()).sum(-1).mean().item()
    reverse = (target * (target / source).log()).sum(-1).mean().item()
    assert found == pytest.approx(forward, abs=1e-5)
    assert abs(found - reverse) > 1e-4


def test_source_text_is_asked_with_the_source_prompt_and_target_text_with_its_translation() -> None:
    method = mpt().eval()
    source = method.prompt()
    assert torch.equal(method.prompts(batch_of(method)), source)
    translated = method.translators[0](source)
    assert torch.equal(method.prompts(batch_of(method, "de")), translated)
    rows = [rows_of(method, examples_of("pair")[:1], language)[0] for language in ("zh", None, "de")]
    table = method.prompts(method.collate(rows))
    assert torch.equal(table, torch.stack([translated, source, translated]))


def test_linear2_is_the_papers_perceptron() -> None:
    method = mpt(translator_size=7)
    first, _, second = method.translators[0].translator.layers
    prompt = torch.randn(4, 32)
    expected = (prompt @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias
    assert first.out_features == 7
    torch.testing.assert_close(method.translators[0](prompt), expected)


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_every_kind_of_translator_gives_a_prompt_and_learns(kind: str) -> None:
    method = mpt(translator=kind, prompt_length=8, freeze_backbone=True)
    (translator,) = method.translators
    assert translator(method.prompt()).shape == (8, 32)
    assert translator(method.prompt()[:1]).shape == (1, 32)
    assert not torch.equal(translator(method.prompt()), method.prompt()), "as published it starts at random"
    whole_loss(method, batch_of(method)).backward()
    for name, parameter in translator.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_every_kind_can_start_as_the_source_prompt_and_learns_from_there(kind: str) -> None:
    method = mpt(translator=kind, translator_start="source", freeze_backbone=True)
    (translator,) = method.translators
    assert torch.equal(method.prompts(batch_of(method, "de")), method.prompt())
    optimizer = torch.optim.AdamW(translator.parameters(), lr=1e-2)
    for _ in range(3):  # what lies before a layer of zeros feels nothing of the first step
        optimizer.zero_grad()
        whole_loss(method, batch_of(method)).backward()
        optimizer.step()
    for name, parameter in translator.named_parameters():
        assert parameter.grad.abs().max() > 0, name
    assert not torch.equal(method.prompts(batch_of(method, "de")), method.prompt())


def test_depth_and_the_skip_of_a_residual_are_what_the_kinds_say() -> None:
    prompt = torch.randn(4, 32)
    (deep,) = mpt(translator="linear4", translator_size=9).translators
    assert [layer.out_features for layer in deep.translator.layers[::2]] == [9, 9, 9, 32]
    (residual,) = mpt(translator="residual").translators
    (block,) = residual.translator.blocks
    torch.testing.assert_close(residual(prompt), prompt + block(prompt))
    attention = mpt(translator="attention2").translators[0].translator
    first, second = attention.layers
    once = first(prompt, prompt, prompt)[0]
    torch.testing.assert_close(attention(prompt), second(once, once, once)[0])


class Shifted(torch.nn.Module):
    """A translator of the user's own."""

    def __init__(self, width: int, **rest: Any) -> None:
        super().__init__()
        self.shift = torch.nn.Parameter(torch.ones(width))

    def forward(self, prompt: torch.Tensor) -> torch.Tensor:
        return prompt + self.shift


def no_module(width: int, **rest: Any) -> int:
    """Makes nothing that could translate."""
    return width


class Startable(Shifted):
    """One that can start as zero."""

    def forward(self, prompt: torch.Tensor) -> torch.Tensor:
        return self.shift.expand_as(prompt)

    def start_at_zero(self) -> None:
        self.shift.data.zero_()


def test_a_translator_of_ones_own_is_found_by_its_dotted_name() -> None:
    method = mpt(translator="test_mpt:Shifted")
    torch.testing.assert_close(method.prompts(batch_of(method, "de")), method.prompt() + 1)
    whole_loss(method, batch_of(method)).backward()
    assert method.translators[0].translator.shift.grad.abs().max() > 0
    started = mpt(translator="test_mpt:Startable", translator_start="source")
    assert torch.equal(started.prompts(batch_of(started, "de")), started.prompt())


def test_languages_can_have_a_translator_each() -> None:
    method = mpt(translator_sharing="language").eval()
    assert len(method.translators) == 2
    for index, language in enumerate(TARGETS):
        expected = method.translators[index](method.prompt())
        assert torch.equal(method.prompts(batch_of(method, language)), expected)
    shared = count_parameters(mpt()).groups["translators"]
    assert count_parameters(method).groups["translators"] == 2 * shared


@pytest.mark.parametrize(
    "options", [{"alpha": 1.0}, {"alpha": 0.0, "loss_form": "added"}, {"alignment": "none", "alpha": 0.4}]
)
def test_without_divergence_the_gradients_are_exactly_those_of_soft_prompt(options: dict[str, Any]) -> None:
    task = task_in(*TARGETS)
    methods = [
        make("soft_prompt", backbone_of("bert", dropout=0.1), seed=7).train(),
        make("mpt", backbone_of("bert", dropout=0.1), task=task, seed=7, **options).train(),
    ]
    for method in methods:
        torch.manual_seed(11)
        whole_loss(method, batch_of(method)).backward()
    soft, translated = (
        {name: p.grad for name, p in method.named_parameters() if p.requires_grad} for method in methods
    )
    assert soft.keys() == translated.keys()
    assert all(torch.equal(soft[name], translated[name]) for name in soft)
    assert task.parallel_text.asked == []  # type: ignore[attr-defined]


def test_the_side_task_says_what_it_computes() -> None:
    side = mpt(alignment_batch_size=6, alignment_heldout=1, alpha=0.3).side_task
    assert (side.weight, side.num_updates, side.order, side.trains) == (0.7, 500, "beside", ("translators.",))
    assert side.num_rows == 12 and side.num_heldout_rows == 3, "two target rows, and the source's once"
    assert mpt(alpha=1.0).side_task is None
    assert mpt(alpha=1.0, alignment_updates=3).side_task.weight == 0
    assert mpt(alignment_trains="all").side_task.trains == ()
    assert mpt().side_task.num_rows == 2 * 16, "as many pairs as an update has rows"
    assert make("pct", backbone_of("bert")).num_computed_rows == 2


def test_a_translator_that_nothing_teaches_is_not_counted_as_trained() -> None:
    assert set(count_parameters(mpt(alignment="none")).groups) == {"prompt", "backbone"}
    assert set(count_parameters(mpt()).groups) == {"prompt", "backbone", "translators"}


def test_the_parallel_text_that_is_read_is_named_by_corpus_and_language() -> None:
    assert mpt().parallel_text == (("files", "de"), ("files", "zh"))
    assert mpt(alignment="toy", alignment_languages=["zh"]).parallel_text == (("toy", "zh"),)
    assert mpt(alignment="none").parallel_text == mpt(alpha=1.0).parallel_text == ()
    assert make("soft_prompt", backbone_of("xlm-roberta")).parallel_text == ()


def test_parallel_text_is_asked_for_in_every_target_language() -> None:
    task = task_in(*TARGETS)
    mpt(task=task, alignment="pawsx", alignment_size=1)
    mpt(task=task, alignment_languages=["zh"])
    assert task.parallel_text.asked == [  # type: ignore[attr-defined]
        ("pawsx", "de", None),
        ("pawsx", "zh", None),
        ("files", "zh", None),
    ]


def test_of_a_corpus_as_many_pairs_are_drawn_from_as_are_asked_for() -> None:
    assert len(mpt(alignment_size=1).alignment.drawn) == 2
    assert len(mpt().alignment.drawn) == 4


def test_drawn_rows_are_the_two_sides_of_one_pair() -> None:
    method = mpt()
    source, target = drawn(method, 0, 50)
    expected = {
        (row(method, pair.source, None), row(method, pair.target, language))
        for language, pairs in PAIRS.items()
        for pair in pairs
    }
    assert {(a, b) for a, b in zip(source, target, strict=True)} == expected
    assert drawn(method, 0, 50) == (source, target)
    assert drawn(method, 1, 50) != (source, target)


def row(method: Any, texts: tuple[str, str], language: str | None) -> Any:
    return rows_of(method, [PairExample(*texts, "N")], language)[0]


def test_an_alignment_batch_cut_into_steps_has_the_same_loss() -> None:
    method = mpt(alignment_batch_size=9).eval()
    whole = aligned(method, 2)
    method.tokens_per_step = 60
    torch.manual_seed(2)
    assert len(list(method.side_losses())) > 2
    assert aligned(method, 2) == pytest.approx(whole, abs=1e-5)


def test_a_labelled_loss_cut_into_steps_is_the_same_in_the_mean() -> None:
    method = mpt(alpha=0.4).eval()
    rows = rows_of(method, examples_of("pair"))
    whole = method.loss(method.collate(rows))
    parts = [method.loss(method.collate(rows[:3])), method.loss(method.collate(rows[3:]))]
    torch.testing.assert_close(whole, parts[0] + parts[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha is 1.5, must be between 0 and 1"),
        ({"alignment_size": 0}, "alignment_size is 0, must be at least 1"),
        ({"alignment": "none", "alignment_size": 5}, "alignment_size has no effect with alignment: none"),
        ({"alignment_languages": ["fr"]}, "alignment_languages: 'fr' is no target language; .*valid: de, zh"),
        (
            {"alignment_languages": ["de"], "translator_sharing": "language"},
            "leaves out zh, whose translators would never be trained",
        ),
        ({"alignment_batch_size": 0}, "alignment_batch_size is 0, must be at least 1"),
        ({"alignment_updates": -1}, "alignment_updates is -1, must be 0 or more"),
        ({"alignment_heldout": -1}, "alignment_heldout is -1, must be 0 or more"),
        ({"translator_learning_rate": 0.0}, "translator_learning_rate is 0.0, must be greater than 0"),
        ({"prompt_learning_rate": -1.0}, "prompt_learning_rate is -1.0, must be greater than 0"),
        ({"alignment": "none", "alignment_updates": 5}, "alignment_updates has no effect with alignment: none"),
        ({"alignment": "none", "alignment_heldout": 5}, "alignment_heldout has no effect with alignment: none"),
        ({"translator": "liner2"}, "unknown translator 'liner2'; did you mean 'linear2'"),
        ({"translator": "builtins:dict"}, r"called with \(width, hidden_size=.*, and refuses: 'int' object"),
        ({"translator": "test_mpt:no_module"}, "makes 32, which is no torch.nn.Module"),
        ({"translator": "test_mpt:Shifted", "translator_start": "source"}, "has no method start_at_zero"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mpt(**options)


def test_a_task_without_targets_has_nothing_to_align() -> None:
    with pytest.raises(ConfigError, match="the task names no target_languages to align"):
        mpt(task=task_in())
    assert mpt(task=task_in(), alignment="none").alignment is None
