"""Trials computed together through one frozen backbone are the experiments that they are alone."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from multilingual_tasks import TARGETS, Corpora
from multilingual_tasks import WORDS as ANSWERS
from tiny_models import TAGS, WORDS, backbone_of, tag_of

from tunekit.errors import DeviceLost, TrialFailed
from tunekit.methods.ptuning_v2 import PTuningV2
from tunekit.tasks import Example, PairExample, Task, TokenExample
from tunekit.training import WorkerCache, device
from tunekit.training import learner as learner_module
from tunekit.training.joint import Done, carry_out
from tunekit.training.learner import Learner, Questions, Update
from tunekit.trial import BackboneConfig, Locations, TaskConfig, TrainingConfig, TrialConfig

SPLITS = {"train": 17, "dev": 8, "test": 5}
ROUNDING = 1e-6
"""Of a loss, a difference of logits of several units; how much there is depends on the processor."""
Member = tuple[str, dict[str, Any], dict[str, Any], int]
"""Method, options, settings of the training, seed."""


def example(kind: str, drawn: random.Random) -> Example:
    words = tuple(drawn.choice(WORDS) for _ in range(drawn.randint(1, 9)))
    if kind == "token":
        return TokenExample(words, tuple(map(tag_of, words)))
    return PairExample(" ".join(words), drawn.choice(WORDS), drawn.choice(TAGS))


def task_of_words(config: TaskConfig, locations: Locations) -> Task:
    kind: Any = config.kind
    task = Task(
        config,
        kind=kind,
        read=lambda split, language: [example(kind, random.Random(f"{split} {i}")) for i in range(SPLITS[split])],
        labels=TAGS,
    )
    task.parallel_text = Corpora()
    return task


def made_cache() -> WorkerCache:
    return WorkerCache(
        load_task=task_of_words,
        load_backbone=lambda config, _: backbone_of(config.name, dtype=config.dtype, dropout=0.1),
        fingerprint_backbone=lambda config, _: config.name,
    )


@pytest.fixture
def cache() -> WorkerCache:
    return made_cache()


def config_of(member: Member, architecture: str, kind: Any, *, dtype: Any = "fp32") -> TrialConfig:
    method, options, training, seed = member
    return TrialConfig(
        task=TaskConfig(name="words", kind=kind, target_languages=TARGETS),
        backbone=BackboneConfig(name=architecture, dtype=dtype),
        method=method,
        options=options,
        training=TrainingConfig(**{"max_length": 24, "epochs": 1, **training}),
        seed=seed,
    )


def learner_of(config: TrialConfig, cache: WorkerCache, tokens_per_step: int = 200) -> Learner:
    return Learner(config, locations=Locations(), cache=cache, tokens_per_step=tokens_per_step)


class Running:
    """A learner in training: its losses so far, and why it failed."""

    def __init__(self, learner: Learner, epochs: int) -> None:
        self.learner, self.losses = learner, list[float]()
        self.failure: Exception | None = None
        self._work = self._all(epochs)
        self.update: Update | None = next(self._work)

    def _all(self, epochs: int) -> Any:
        for epoch in range(1, epochs + 1):
            yield from self.learner.epoch(epoch)

    def take(self, done: Done) -> None:
        if isinstance(done, Exception):
            self.failure, self.update = done, None
            return
        assert isinstance(done, float)
        self.losses.append(done)
        try:
            self.update = self._work.send(done)
        except StopIteration:
            self.update = None


def running(config: TrialConfig, cache: WorkerCache) -> Running:
    return Running(learner_of(config, cache), config.training.epochs)


def train_together(
    runs: Sequence[Running], join: Callable[[int], Sequence[Running]] = lambda step: ()
) -> list[Running]:
    """Make updates together until all are done; at each step others may join."""
    everyone, step = list(runs), 0
    while True:
        everyone += join(step)
        going = [run for run in everyone if run.update is not None]
        if not going:
            return everyone
        for run, done in zip(going, carry_out([run.update for run in going if run.update]), strict=True):
            run.take(done)
        step += 1


def dev_labels(learner: Learner) -> Any:
    (found,) = carry_out([Questions(learner, "dev", ("en", *TARGETS))])
    return found


def require_same(together: Running, by_itself: Running) -> None:
    assert together.losses == pytest.approx(by_itself.losses, rel=1e-5, abs=ROUNDING)
    assert together.learner.optimizer is not by_itself.learner.optimizer
    for name, parameter in by_itself.learner.trained.items():
        if by_itself.learner.config.method == "bitfit":
            continue  # a softmax does not feel keys' biases: AdamW makes steps of the rounding of their gradients
        torch.testing.assert_close(together.learner.trained[name], parameter, rtol=1e-2, atol=2e-4)


def members_of(method: str, *, dropout: bool) -> list[Member]:
    """Eight members: mixed lengths, rates, batch sizes, seeds, schedules."""
    found: list[Member] = []
    for index in range(8):
        options: dict[str, Any] = {"backbone_dropout": (0.1, 0.3)[index % 2] if dropout else 0.0}
        if method in ("ptuning_v2", "prompt_tuning", "soft_prompt", "mpt"):
            options["prompt_length"] = (1, 2, 3, 5)[index % 4]
        if method in ("soft_prompt", "mpt"):
            options |= {
                "freeze_backbone": True,
                "verbalizer": ANSWERS,
                "template": "{premise} {prompt} {mask} {hypothesis}",
            }
            options["prompt_encoder"] = ("embedding", "lstm")[index % 2]
        else:
            options["head_dropout"] = (0.1, 0.5)[index // 4] if dropout else 0.0
        if method == "mpt":
            options |= {"alpha": 0.3 + 0.05 * index, "alignment_updates": index, "alignment_heldout": 0}
            options |= {"alignment_schedule": ("before", "beside")[index // 4]}
        if method == "ptuning_v2":
            options |= {"prefix_dropout": 0.2 * (index % 2) if dropout else 0.0, "projection": index in (2, 5)}
        if method == "lora":
            options |= {"rank": (1, 2, 4)[index % 3], "lora_dropout": 0.2 * (index % 2) if dropout else 0.0}
            options["targets"] = ("query_value", "attention", "linear")[index % 3]
        if method == "adapter":
            options |= {"bottleneck_size": 2 + index, "adapter_dropout": 0.2 * (index % 2) if dropout else 0.0}
        training = {
            "learning_rate": 1e-3 * (1 + index),
            "batch_size": (3, 4, 6, 8)[index % 4],
            "weight_decay": 0.01 * (index % 2),
            "schedule": ("linear", "constant")[index % 2],
            "max_grad_norm": (1.0, 0.1, 0.0)[index % 3],
        }
        found.append((method, options, training, index // 2))
    return found


EVERY = (("bert", "token"), ("xlm-roberta", "pair"), ("xglm", "token"), ("bloom", "pair"), ("mt5", "token"))
SERVED = {
    "ptuning_v2": EVERY,
    "prompt_tuning": (EVERY[1], EVERY[3]),
    "lora": EVERY[2:],
    "bitfit": (EVERY[0], EVERY[4]),
    "adapter": (EVERY[0], EVERY[4]),
    "soft_prompt": (EVERY[1],),
    "mpt": (EVERY[1],),
}
CELLS = [
    (method, *cell, dropout)
    for method, cells in SERVED.items()
    for index, cell in enumerate(cells)
    for dropout in ((True, False) if index == 0 else (True,))
]
"""With dropout on each of some architectures, without on one."""


@pytest.mark.parametrize(("method", "architecture", "kind", "dropout"), CELLS)
def test_eight_members_have_the_losses_and_the_dev_labels_of_their_solo_runs(
    method: str, architecture: str, kind: str, dropout: bool, cache: WorkerCache
) -> None:
    configs = [config_of(member, architecture, kind) for member in members_of(method, dropout=dropout)]
    by_themselves = [train_together([running(config, cache)])[0] for config in configs]
    together = train_together([running(config, cache) for config in configs])
    for one, other in zip(together, by_themselves, strict=True):
        require_same(one, other)
    asked = [Questions(run.learner, "dev", ("en", *TARGETS)) for run in together]
    assert carry_out(asked) == [dev_labels(run.learner) for run in by_themselves]
    assert len({tuple(run.losses) for run in together}) == 8, "no two members are alike"


# Company


def deep(index: int, **training: Any) -> TrialConfig:
    member: Member = ("ptuning_v2", {"prompt_length": 1 + index, "head_dropout": 0.1}, training, index)
    return config_of(member, "bert", "token")


@pytest.mark.parametrize("architecture", ["bert", "xlm-roberta"])
def test_a_member_with_a_long_prompt_is_filled_up_to_the_rows_of_one_that_has_a_short_prompt(
    architecture: str, cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    members: list[Member] = [
        ("ptuning_v2", {"prompt_length": 55}, {"max_length": 8, "batch_size": 8}, 1),
        ("ptuning_v2", {"prompt_length": 2}, {"max_length": 24, "batch_size": 8}, 2),
    ]
    configs = [config_of(member, architecture, "token") for member in members]
    widths, read = list[list[int]](), learner_module.read

    def watched(backbone: Any, readings: Any) -> Any:
        widths.append([reading.inputs.input_ids.shape[1] for reading in readings])
        return read(backbone, readings)

    monkeypatch.setattr(learner_module, "read", watched)
    start = [Running(learner_of(config, cache, tokens_per_step=1000), 1) for config in configs]
    together = train_together(start)
    assert max(55 + max(found) for found in widths if len(found) == 2) > 66, "padding ran past the table of positions"
    sizes = [len(found) for found in widths]
    assert sizes == sorted(sizes, reverse=True), "none was made one by one while both had updates to make"
    by_themselves = [train_together([running(config, cache)])[0] for config in configs]
    for one, other in zip(together, by_themselves, strict=True):
        require_same(one, other)
    asked = [Questions(run.learner, "dev", ("en", *TARGETS)) for run in together]
    assert carry_out(asked) == [dev_labels(run.learner) for run in by_themselves]


def test_a_member_that_joins_late_and_one_that_ends_early_change_no_other(cache: WorkerCache) -> None:
    configs = [deep(0, epochs=3, batch_size=4), deep(1, epochs=1, batch_size=8), deep(2, epochs=2, batch_size=3)]
    by_themselves = [train_together([running(config, cache)])[0] for config in configs]
    late = [running(configs[2], cache)]
    together = train_together(
        [running(config, cache) for config in configs[:2]], lambda step: late if step == 2 else ()
    )
    assert len(together) == 3 and len({len(run.losses) for run in together}) == 3
    for one, other in zip(together, by_themselves, strict=True):
        require_same(one, other)


def test_a_member_whose_numbers_are_no_longer_finite_fails_and_changes_no_other(cache: WorkerCache) -> None:
    configs = [deep(0), deep(1), deep(2)]
    by_themselves = [train_together([running(config, cache)])[0] for config in configs]
    together = [running(config, cache) for config in configs]
    with torch.no_grad():
        together[1].learner.trained["prompt.table"][0, 3] = torch.nan
    train_together(together)
    assert isinstance(together[1].failure, TrialFailed) and "loss became nan at update 1 of epoch 1" in str(
        together[1].failure
    )
    assert not together[1].losses
    for number in (0, 2):
        require_same(together[number], by_themselves[number])


def test_an_error_in_the_code_of_one_member_is_its_own(cache: WorkerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = [deep(0), deep(1)]
    (by_itself,) = train_together([running(configs[0], cache)])
    together = [running(config, cache) for config in configs]
    broken = together[1].learner.method
    monkeypatch.setattr(broken, "logits_of", lambda *_: [][1])
    train_together(together)
    assert isinstance(together[1].failure, IndexError)
    require_same(together[0], by_itself)


@pytest.mark.parametrize(
    "draw", [lambda: torch.rand(()), lambda: torch.tensor(random.random())], ids=["torch", "python"]
)
def test_members_whose_method_draws_in_its_own_way_have_the_losses_of_solo_runs_too(
    cache: WorkerCache, monkeypatch: pytest.MonkeyPatch, draw: Callable[[], torch.Tensor]
) -> None:
    logits_of = PTuningV2.logits_of
    monkeypatch.setattr(PTuningV2, "logits_of", lambda *args: logits_of(*args) * (1 + draw()))
    configs = [deep(0), deep(1), deep(2)]
    by_themselves = [train_together([running(config, cache)])[0] for config in configs]
    together = train_together([running(config, cache) for config in configs])
    for one, other in zip(together, by_themselves, strict=True):
        require_same(one, other)
        assert dev_labels(one.learner) == dev_labels(other.learner)


@pytest.mark.parametrize("split", ["train", "dev"])
def test_an_error_while_rows_are_made_fails_the_trial_alone(
    cache: WorkerCache, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    runs = [running(deep(0), cache), running(deep(1), cache)]
    broken, tokenized = runs[1].learner, runs[1].learner.tokenized

    def failing(asked: Any, language: str) -> Any:
        return [][1] if asked == split else tokenized(asked, language)

    monkeypatch.setattr(broken, "tokenized", failing)
    done = carry_out([Questions(run.learner, "dev", ("en",)) for run in runs])
    assert isinstance(done[0], dict)
    assert isinstance(done[1], IndexError) == (split == "dev")


def test_a_failure_of_memory_keeps_nothing_of_the_pass(cache: WorkerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, made = [running(deep(0), cache), running(deep(1), cache)], []

    def full(*_: object) -> None:
        states = torch.zeros(1)
        made.append(weakref.ref(states))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(learner_module, "read", full)
    done = carry_out([run.update for run in runs if run.update])
    assert all(isinstance(each, TrialFailed) for each in done)
    assert made and all(states() is None for states in made)


def test_where_memory_does_not_suffice_steps_get_smaller_and_no_member_is_lost(
    cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = [deep(0), deep(1), deep(2)]
    by_themselves = [train_together([running(config, cache)])[0] for config in configs]
    computed: list[int] = []
    read = learner_module.read

    def limited(backbone: Any, readings: Any) -> Any:
        num_tokens = sum(reading.inputs.input_ids.numel() for reading in readings)
        if num_tokens > 60:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        computed.append(num_tokens)
        return read(backbone, readings)

    monkeypatch.setattr(learner_module, "read", limited)
    together = train_together([running(config, cache) for config in configs])
    assert computed and all(run.failure is None for run in together)
    assert {run.learner.limits.step for run in together} == {50}, "what did not suffice is not tried again"
    for one, other in zip(together, by_themselves, strict=True):
        require_same(one, other)


def test_a_single_row_that_memory_does_not_suffice_for_fails_its_trial(
    cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    together = [running(deep(0), cache), running(deep(1), cache)]
    monkeypatch.setattr(learner_module, "read", full)
    train_together(together)
    assert all(isinstance(run.failure, TrialFailed) and "out of memory on cpu" in str(run.failure) for run in together)


def test_backbones_that_no_trial_uses_make_room_before_steps_get_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, handed_back = made_cache(), []
    learner_of(config_of(("ptuning_v2", {}, {}, 0), "xlm-roberta", "token"), cache)
    run = running(deep(0), cache)
    read = learner_module.read

    def limited(backbone: Any, readings: Any) -> Any:
        if len([key for key in cache.warm if key.startswith("backbone:")]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(backbone, readings)

    monkeypatch.setattr(learner_module, "read", limited)
    monkeypatch.setattr(learner_module, "give_memory_back", handed_back.append)
    train_together([run])
    assert run.failure is None and run.losses and run.learner.limits.step is None
    assert handed_back == [torch.device("cpu")]


def test_predictions_that_memory_suffices_for_only_one_by_one_fail_no_member(
    cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    learners = [learner_of(deep(0, max_length=24), cache), learner_of(deep(1, max_length=12), cache)]
    expected = [dev_labels(learner) for learner in learners]
    read = learner_module.read

    def limited(backbone: Any, readings: Any) -> Any:
        if len(readings) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(backbone, readings)

    monkeypatch.setattr(learner_module, "read", limited)
    for order in ((0, 1), (1, 0)):
        found = carry_out([Questions(learners[number], "dev", ("en", *TARGETS)) for number in order])
        assert found == [expected[number] for number in order]


def test_nothing_is_tried_again_on_a_gpu_that_answers_no_more(
    cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, num_reads = [running(deep(0), cache), running(deep(1), cache)], 0

    def broken(*_: object) -> None:
        nonlocal num_reads
        num_reads += 1
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might")

    monkeypatch.setattr(learner_module, "read", broken)
    monkeypatch.setattr(device, "_is_silent", lambda _: True)
    with pytest.raises(DeviceLost, match=r"cpu answers this process no more: .*illegal memory access was encountered$"):
        carry_out([run.update for run in runs if run.update])
    assert num_reads == 1
    monkeypatch.setattr(device, "_is_silent", lambda _: False)
    done = carry_out([run.update for run in runs if run.update])
    assert num_reads == 4 and all(isinstance(each, torch.AcceleratorError) for each in done), "their own failure"


def test_a_step_of_the_optimiser_that_has_no_memory_is_not_made_twice(
    cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, steps = [running(deep(0), cache), running(deep(1), cache)], []

    def full(terms: Any) -> None:
        steps.append(len(terms))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("tunekit.training.optimizer._adamw", full)
    done = carry_out([run.update for run in runs if run.update])
    assert len(steps) == 1, "moments and counts have changed: a second step would start from others"
    assert all(isinstance(each, TrialFailed) for each in done)


def test_time_is_shared_by_the_rows_that_each_asked_for(cache: WorkerCache, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("tunekit.training.joint.time.perf_counter", lambda: float(next(ticks)))
    small, large = running(deep(0, batch_size=2), cache), running(deep(1, batch_size=17), cache)
    assert small.update and large.update
    carry_out([small.update, large.update])
    spent = [run.learner.spent_s for run in (small, large)]
    assert sum(spent) == pytest.approx(1.0) and spent[1] > spent[0]


@settings(deadline=None, max_examples=8, derandomize=True)
@given(st.data())
def test_any_mixture_of_members_gives_the_losses_of_solo_runs(data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(["ptuning_v2", "prompt_tuning", "lora"]))
    member = st.fixed_dictionaries(
        {
            "seed": st.integers(0, 3),
            "size": st.integers(1, 6),
            "dropout": st.sampled_from([0.0, 0.2]),
            "training": st.fixed_dictionaries(
                {
                    "learning_rate": st.sampled_from([1e-4, 1e-3, 1e-2]),
                    "batch_size": st.integers(1, 9),
                    "updates_per_epoch": st.integers(1, 5),
                    "warmup_fraction": st.sampled_from([0.0, 0.5]),
                }
            ),
        }
    )
    size = "rank" if method == "lora" else "prompt_length"
    configs = [
        config_of(
            (method, {size: m["size"], "backbone_dropout": m["dropout"]}, m["training"], m["seed"]), "bert", "token"
        )
        for m in data.draw(st.lists(member, min_size=2, max_size=5))
    ]
    cache = made_cache()
    by_themselves = [train_together([running(config, cache)])[0] for config in configs]
    together = train_together([running(config, cache) for config in configs])
    for one, other in zip(together, by_themselves, strict=True):
        assert one.losses == pytest.approx(other.losses, rel=1e-5, abs=ROUNDING)


def test_methods_that_train_the_backbone_or_compute_in_their_own_way_have_no_company(cache: WorkerCache) -> None:
    for method, options in (("finetune", {}), ("mpt", {"verbalizer": ANSWERS, "alignment": "none"})):
        learner = learner_of(config_of((method, options, {}, 0), "xlm-roberta", "pair"), cache)
        assert learner.company is None
    assert learner_of(deep(0), cache).company == learner_of(deep(3), cache).company is not None
    prompted = config_of(("ptuning_v2", {"layers": 1}, {}, 0), "bert", "token")
    assert learner_of(prompted, cache).company != learner_of(deep(0), cache).company
