"""MPT's alignment as a trial makes it: how many updates, of what, at which rates, and what is seen of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from multilingual_tasks import TARGETS, make, rows_of, task_in
from pair_world import NUM_PARALLEL, locations_in, trial
from tiny_models import backbone_of, examples_of
from tiny_trials import curve, train

from tunekit.errors import ConfigError, DataError
from tunekit.methods import Feature
from tunekit.methods.parts.alignment import Alignment, divided, groups
from tunekit.tasks import ParallelPair
from tunekit.training import TrialRun, WorkerCache, run_trial
from tunekit.training.joint import alone, train_epoch
from tunekit.training.schedule import side_updates, side_updates_by_epoch
from tunekit.trial import EpochReport, Locations, SideTask, TrialConfig, TrialFacts

TOKENS = 512
QUICK = {"alignment_updates": 7, "alignment_batch_size": 3}
SCHEDULES = pytest.mark.parametrize("schedule", ["before", "beside"])


@pytest.fixture(scope="module")
def locations(tmp_path_factory: pytest.TempPathFactory) -> Locations:
    return locations_in(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def cache() -> WorkerCache:
    return WorkerCache()


def opened(config: TrialConfig, folder: Path, locations: Locations, cache: WorkerCache) -> Any:
    return TrialRun(config, folder=folder, locations=locations, cache=cache, tokens_per_step=TOKENS)


def figure(report: EpochReport, name: str) -> float:
    """The mean over the target languages."""
    return sum(report.metrics[f"dev/{language}/{name}"] for language in ("de", "fr")) / 2


# What is learnt


def test_a_translator_that_starts_at_random_halves_its_divergence_on_text_that_it_has_not_seen(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    config = trial(
        alignment_updates=80, alignment_batch_size=8, translator_learning_rate=1e-2, training={"learning_rate": 1e-5}
    )
    run = opened(config, tmp_path, locations, cache)
    before = {name: tensor.clone() for name, tensor in run._learner.parameters().items()}
    last = train(run).history[-1]
    after = run._learner.parameters()
    assert figure(last, "alignment_kl") < 0.5 * figure(last, "alignment_kl_start")
    moved = [
        n for n in before if n.startswith("translators.") and (after[n] - before[n]).norm() > 0.1 * before[n].norm()
    ]
    assert moved


def test_without_further_updates_and_weight_nothing_is_aligned_and_no_figure_is_reported(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    run = train(opened(trial(alpha=1.0), tmp_path, locations, cache))
    assert run.facts.num_side_updates == ()
    assert not any("alignment" in key for report in run.history for key in report.metrics)


def test_alignment_alone_teaches_the_translator_where_the_labelled_loss_has_none_of_it(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    run = opened(trial(alpha=1.0, **QUICK), tmp_path, locations, cache)
    assert run._learner.side.weight == 0
    assert run.step().metrics.keys() >= {"dev/de/alignment_kl", "dev/fr/alignment_kl", "dev/en/answer_spread"}


@SCHEDULES
@pytest.mark.parametrize("trains", ["translator", "all"])
def test_the_further_updates_change_the_translator_alone_or_everything(
    schedule: str, trains: str, locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    config = trial(alignment_schedule=schedule, alignment_trains=trains, **QUICK)
    learner = opened(config, tmp_path, locations, cache)._learner
    before = {name: tensor.clone() for name, tensor in learner.parameters().items()}
    learner.method.train()
    for update in range(6):
        alone(learner._side_updates(update, 1))
    changed = {name for name, tensor in learner.parameters().items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("translators.") for name in changed)
    assert all(name.startswith("translators.") for name in changed) == (trains == "translator")
    assert all(parameter.requires_grad for parameter in learner.trained.values())


# How many updates


@SCHEDULES
@pytest.mark.parametrize("shots", [1, 4])
def test_alignment_makes_as_many_updates_whatever_the_shots_and_they_are_counted(
    schedule: str, shots: int, locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    config = trial(alignment_schedule=schedule, **QUICK)
    config = replace(config, task=replace(config.task, shots=shots))
    run = opened(config, tmp_path, locations, cache)
    made: list[int] = []
    step = run._learner._optimizer._adamw.step
    run._learner._optimizer._adamw.step = lambda: (made.append(len(run.history)), step())
    train(run)
    labelled = 2 * run.facts.num_updates_per_epoch
    assert labelled == 2 * -(-3 * shots // 4)
    assert run.outcome().num_updates == len(made) == labelled + 7
    assert run.facts.num_side_updates == ((7, 0) if schedule == "before" else run.facts.num_side_updates)
    assert [made.count(epoch) for epoch in (0, 1)] == [
        run.facts.num_updates(1),
        run.facts.num_updates(2) - run.facts.num_updates(1),
    ]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 60), st.sampled_from(["before", "beside"]))
def test_every_update_of_the_side_task_is_made_once_and_spread_evenly(
    per_epoch: int, epochs: int, number: int, order: Any
) -> None:
    side = SideTask(weight=0.5, num_updates=number, order=order, num_rows=2)
    total = per_epoch * epochs
    found = [side_updates(update, total, side) for update in range(total)]
    assert sum(found) == number
    by_epoch = side_updates_by_epoch(per_epoch, epochs, side)
    assert by_epoch == (tuple(sum(found[e * per_epoch : (e + 1) * per_epoch]) for e in range(epochs)) if number else ())
    if order == "before":
        assert found[0] == number
    else:
        assert max(found) - min(found) <= 1
    facts = TrialFacts(num_updates_per_epoch=per_epoch, num_side_updates=by_epoch)
    assert facts.num_updates(epochs) == total + number


def test_a_method_without_a_side_task_has_no_further_updates() -> None:
    assert side_updates(0, 5, None) == 0 and side_updates_by_epoch(5, 3, None) == ()


# At which rates


def test_translator_and_prompt_have_peak_rates_of_their_own(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    constant = {"schedule": "constant"}
    config = trial(translator_learning_rate=1e-2, prompt_learning_rate=5e-3, training=constant, **QUICK)
    learner = opened(config, tmp_path, locations, cache)._learner
    rates: dict[str, set[float]] = {}
    names = {id(parameter): name for name, parameter in learner.trained.items()}
    train_epoch(learner, 1)
    for group in learner._optimizer._adamw.param_groups:
        for parameter in group["params"]:
            rates.setdefault(names[id(parameter)].split(".")[0], set()).add(group["lr"])
    assert rates == {"translators": {1e-2}, "prompt": {5e-3}, "backbone": {1e-3}}


def test_all_rates_rise_and_fall_together(locations: Locations, cache: WorkerCache, tmp_path: Path) -> None:
    falling = {"schedule": "linear", "warmup_fraction": 0.2}
    config = trial(translator_learning_rate=1e-2, training=falling, **QUICK)
    learner = opened(config, tmp_path, locations, cache)._learner
    train_epoch(learner, 1)
    found = {group["lr"] for group in learner._optimizer._adamw.param_groups}
    assert len(found) == 2 and max(found) == pytest.approx(10 * min(found)) and max(found) < 1e-2


def test_updates_before_the_labelled_ones_have_a_schedule_of_their_own(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    config = trial(alignment_schedule="before", training={"schedule": "linear"}, **QUICK)
    learner = opened(config, tmp_path, locations, cache)._learner
    alone(learner._side_updates(0, 1))
    assert learner._optimizer._adamw.param_groups[0]["lr"] == pytest.approx(1e-3 / 7)


# What is seen of it


def test_each_epoch_reports_the_divergence_on_held_out_text_beside_that_at_the_start(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    run = opened(trial(**QUICK), tmp_path, locations, cache)
    started = run._learner.diagnostics()
    train(run)
    for report in run.history:
        for key, value in started.items():
            assert report.metrics[f"{key}_start"] == value
            assert report.metrics[key] != value
    assert set(started) == {"dev/de/alignment_kl", "dev/fr/alignment_kl", "dev/en/answer_spread"}
    assert run.outcome().metrics.keys() >= started.keys()


def test_the_divergence_is_the_mean_over_the_pairs_that_are_held_out(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    learner = opened(trial(alignment_heldout=5, **QUICK), tmp_path, locations, cache)._learner
    method = learner.method.eval()
    found = learner.diagnostics()
    for language in ("de", "fr"):
        source, target = method.alignment.heldout_sides(language, method.encode_all)
        assert len(source) == 5
        with torch.no_grad():
            batches = [method.collate([row for (row,) in rows]) for rows in (source, target)]
            p, q = (method.logits(batch).double().log_softmax(-1) for batch in batches)
        assert found[f"dev/{language}/alignment_kl"] == pytest.approx(
            (p.exp() * (p - q)).sum(-1).mean().item(), abs=1e-5
        )


def test_looking_at_held_out_text_changes_nothing_that_is_learnt(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    quiet, looked = (opened(trial(**QUICK), tmp_path / name, locations, WorkerCache()) for name in ("a", "b"))
    looked._learner.diagnostics()
    assert curve(train(quiet).history) == curve(train(looked).history)


def test_of_epochs_with_equal_scores_the_one_with_the_smaller_divergence_is_the_best() -> None:
    def report(epoch: int, value: float, *kl: float) -> EpochReport:
        metrics = {f"dev/l{i}/alignment_kl": x for i, x in enumerate(kl)}
        return EpochReport(
            epoch=epoch, value=value, metrics={**metrics, "dev/l0/alignment_kl_start": 9.0}, duration_s=1
        )

    history = [report(1, 0.5, 0.3, 0.3), report(2, 0.6, 0.3, 0.1), report(3, 0.6, 0.1, 0.1), report(4, 0.6, 0.1, 0.1)]
    assert max(history, key=lambda r: r.rank).epoch == 3
    assert max([report(1, 0.7, 5.0), report(2, 0.6, 0.0)], key=lambda r: r.rank).epoch == 1, "the score comes first"
    plain = [EpochReport(epoch=e, value=0.5, metrics={}, duration_s=1) for e in (1, 2)]
    assert max(plain, key=lambda r: r.rank).epoch == 1, "without the figure the earliest"


# Interruptions


@SCHEDULES
def test_a_trial_that_goes_on_after_an_epoch_ends_with_the_same_bits(
    schedule: str, locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    config = trial(alignment_schedule=schedule, training={"epochs": 3}, **QUICK)
    whole = train(opened(config, tmp_path / "whole", locations, WorkerCache()))
    train(opened(config, tmp_path / "cut", locations, WorkerCache()), epochs=1)
    again = opened(config, tmp_path / "cut", locations, cache)
    assert len(again.history) == 1
    train(again)
    assert curve(again.history) == curve(whole.history)
    for name, tensor in again._learner.parameters().items():
        assert torch.equal(tensor, whole._learner.parameters()[name]), name


def test_how_many_tokens_are_computed_at_once_changes_rounding_only(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    values = []
    for tokens in (48, 4096):
        outcome = run_trial(
            trial(alignment_updates=5, alignment_batch_size=6),
            folder=tmp_path / str(tokens),
            locations=locations,
            cache=cache,
            tokens_per_step=tokens,
        )
        values.append(outcome.metrics["dev/de/alignment_kl"])
    assert values[0] == pytest.approx(values[1], rel=2e-2)


# Held-out text


def corpus(size: int, language: str = "de") -> tuple[ParallelPair, ...]:
    return tuple(ParallelPair((f"s{i}", "s"), (f"{language}{i}", "t")) for i in range(size))


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 80), st.integers(0, 20), st.integers(0, 5))
def test_no_text_that_is_held_out_is_ever_drawn_and_a_smaller_sample_is_part_of_a_larger(
    size: int, heldout: int, seed: int
) -> None:
    corpora = {language: corpus(size, language) for language in ("de", "fr")}
    if heldout >= size:
        with pytest.raises(DataError, match="are held out"):
            divided(corpora, size=None, heldout=heldout, seed=seed)
        return
    drawn, kept = divided(corpora, size=None, heldout=heldout, seed=seed)
    for language in corpora:
        assert len(kept[language]) == heldout and set(drawn[language]) | set(kept[language]) == set(corpora[language])
        assert not set(drawn[language]) & set(kept[language])
    assert [p.source for p in kept["de"]] == [p.source for p in kept["fr"]], "the same rows in every language"
    smaller, _ = divided(corpora, size=max(1, (size - heldout) // 2), heldout=heldout, seed=seed)
    assert set(smaller["de"]) <= set(drawn["de"])
    assert divided(corpora, size=None, heldout=heldout, seed=seed) == (drawn, kept)


def test_a_text_held_out_in_one_language_is_drawn_in_no_other() -> None:
    """Corpora of different lengths hold out different rows; the source's text counts."""
    drawn, kept = divided({"de": corpus(30), "fr": corpus(50, "fr")}, size=None, heldout=4, seed=0)
    sources = {pair.source for pairs in kept.values() for pair in pairs}
    assert len(sources) > 4
    assert not sources & {pair.source for pairs in drawn.values() for pair in pairs}


@pytest.mark.parametrize(("size", "expected"), [(1, 0), (9, 0), (10, 1), (199, 19), (5000, 32)])
def test_where_nothing_is_said_a_tenth_is_held_out_and_at_most_32_pairs(size: int, expected: int) -> None:
    drawn, kept = divided({"de": corpus(size)}, size=None, heldout=None, seed=0)
    assert (len(kept["de"]), len(drawn["de"])) == (expected, size - expected)


@pytest.mark.parametrize(("size", "expected"), [(100, 0), (97, 3), (50, 10), (None, 10)])
def test_where_nothing_is_said_a_sample_that_is_asked_for_is_never_cut_short(size: int | None, expected: int) -> None:
    drawn, kept = divided({"de": corpus(100)}, size=size, heldout=None, seed=0)
    assert len(kept["de"]) == expected
    assert len(drawn["de"]) == (size or 90)


def test_the_seed_of_samples_decides_what_is_held_out() -> None:
    found = [divided({"de": corpus(50)}, size=None, heldout=5, seed=seed)[1]["de"] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_a_trial_draws_from_what_is_left_in_its_corpus(
    locations: Locations, cache: WorkerCache, tmp_path: Path
) -> None:
    alignment = opened(trial(**QUICK), tmp_path, locations, cache)._learner.method.alignment
    assert {language: len(pairs) for language, pairs in alignment.heldout.items()} == {"de": 4, "fr": 4}
    assert len(alignment.drawn) == 2 * (NUM_PARALLEL - 4)


def test_a_corpus_that_is_too_small_for_both_says_so(locations: Locations, cache: WorkerCache, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 40 pairs in 'de', 43 are wanted"):
        opened(trial(alignment_size=38, alignment_heldout=5), tmp_path, locations, cache)


def made_row(length: int) -> Feature:
    return Feature(tuple(range(length)), None, (0,), ((0,),), ())


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.lists(st.integers(1, 30), max_size=3), st.integers(1, 30))), st.integers(10, 200))
def test_groups_hold_every_text_once_in_order_within_the_limit(texts: list[tuple[list[int], int]], limit: int) -> None:
    sides = ([tuple(map(made_row, a)) for a, _ in texts], [(made_row(b),) for _, b in texts])
    found = list(groups(sides, max_tokens=limit))
    assert [rows for source, _ in found for rows in source] == sides[0]
    assert [rows for _, target in found for rows in target] == sides[1]
    for source, target in found:
        rows = [row for side in (source, target) for found_rows in side for row in found_rows]
        assert len(source) == 1 or len(rows) * max(row.length for row in rows) <= limit


# Tagging


def tags(**options: Any) -> Any:
    """MPT in the tiny tagging task, whose parallel text is that of `multilingual_tasks`."""
    task = task_in(*TARGETS, kind="token")
    return make("mpt", backbone_of("xlm-roberta"), task=task, max_length=60, **options)


def test_in_tagging_the_prompt_of_a_target_language_is_translated_in_topros_question() -> None:
    method = tags().eval()
    assert method.template.text == "{sentence} | The tag of {word} is a kind of: {prompt} {mask} ."
    rows = {language: rows_of(method, examples_of("token")[:1], language) for language in (None, "de")}
    assert len(rows["de"]) == len(examples_of("token")[0].words)
    assert torch.equal(method.prompts(method.collate(rows[None])), method.prompt())
    assert torch.equal(method.prompts(method.collate(rows["de"])), method.translators[0](method.prompt()))


def test_in_tagging_the_divergence_is_that_of_what_is_said_of_whole_sentences() -> None:
    method = tags(alignment_batch_size=5).eval()
    torch.manual_seed(4)
    found = float(sum(part.item() for part in method.side_losses()))
    torch.manual_seed(4)
    source, target = method.alignment.draw(5, method.encode_all)
    total = 0.0
    for mine, theirs in zip(source, target, strict=True):
        p, q = (method.logits(method.collate(rows)).double().softmax(-1).mean(0).detach() for rows in (mine, theirs))
        total += (p * (p / q).log()).sum().item()
    assert found == pytest.approx(total / 5, abs=1e-5)
    assert any(len(mine) != len(theirs) for mine, theirs in zip(source, target, strict=True))


@pytest.mark.parametrize(("number", "asked"), [(1, [0]), (2, [0, 3]), (3, [0, 2, 4]), (8, [0, 1, 2, 3, 4, 5])])
def test_words_that_are_asked_about_are_spread_over_the_sentence(number: int, asked: list[int]) -> None:
    text = ("the red cat sees a dog", "now")
    pairs = {"de": [ParallelPair(text, text)]}
    alignment = Alignment(pairs, kind="token", label="N", num_words=number, heldout={})
    rows = [alignment.draw(1, tags().encode_all)[0][0] for _ in range(20)]
    assert asked in [[row.words[0] for row in found] for found in rows]
    assert alignment.rows_per_text == number


def test_a_language_that_does_not_separate_its_words_cannot_be_aligned_in_tagging() -> None:
    pairs = {"zh": [ParallelPair(("the red cat sees a dog", "the old dog sees"), ("猫猫", "犬"))] * 3}
    with pytest.raises(ConfigError, match=r"'zh' has 6 words between white space for 30 in the source language"):
        Alignment(pairs, kind="token", label="N", num_words=8, heldout={})


def test_translator_and_prompt_learn_from_the_parallel_sentences_of_a_tagging_task() -> None:
    method = tags(freeze_backbone=True)
    sum(method.side_losses()).backward()  # type: ignore[union-attr]
    for name, parameter in method.named_parameters():
        is_reached = parameter.grad is not None and parameter.grad.abs().max() > 0
        assert is_reached == name.startswith(("translators.", "prompt.")), name
