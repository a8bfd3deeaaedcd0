"""Tables of what each arm spent, how much it trains, and what it read for that."""

from __future__ import annotations

from tunekit.journal import TrialRecord
from tunekit.reports.results import ArmResult, Comparison
from tunekit.reports.tables import Column, Table, Value, plain_row, table_name
from tunekit.sweep import BudgetConfig
from tunekit.wording import count, names

SPLITS = ("train", "dev", "test")
STATES = ("COMPLETE", "PRUNED", "FAILED", "RUNNING")


def budget(comparison: Comparison) -> Table:
    """Trials, time and updates of each arm, and how much it trains."""
    rows = []
    for arm in comparison.arms:
        number, part = trainable(arm)
        values: tuple[Value, ...] = (
            arm.name,
            f"{arm.progress.num_points} of {arm.progress.num_points_asked}",
            len(arm.searched),
            *(arm.num_searched(state) for state in STATES),
            arm.duration_s("search"),
            arm.num_updates("search"),
            sum(trial.phase == "finalise" for trial in arm.trials),
            arm.duration_s("finalise"),
            number,
            part,
        )
        rows.append(plain_row(values))
    return Table(
        name=table_name("budget", comparison.task, comparison.source),
        title=f"{comparison.task}: budget and size",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="points", title="points", kind="count"),
            Column(key="trials", title="trials", kind="count"),
            *(Column(key=state.lower(), title=state, kind="count") for state in STATES),
            Column(key="search_s", title="time", kind="duration"),
            Column(key="updates", title="updates", kind="count"),
            Column(key="final_trials", title="final trials", kind="count"),
            Column(key="final_s", title="final time", kind="duration"),
            Column(key="trainable", title="trainable", kind="count"),
            Column(key="of_backbone", title="of backbone", kind="share"),
        ),
        rows=tuple(rows),
        notes=(
            "Trials, time and updates are of the search, stopped and failed trials included; final trials are the"
            " replicates that only finalising asked for. Time is training and dev evaluation in whole epochs, summed"
            " over trials. Trainable: of the reported point, head included.",
        ),
    )


def trainable(arm: ArmResult) -> tuple[int | None, float | None]:
    """Trained parameters of the reported point, and their share of the backbone's; None where no trial said so."""
    facts = arm.facts
    if facts is None or not facts.num_backbone_parameters:
        return None, None
    return facts.num_trainable_parameters, facts.num_trainable_parameters / facts.num_backbone_parameters


def spending(comparison: Comparison, prices: BudgetConfig) -> Table:
    """What each arm has used of its share: hours of workers, GPU-hours and money, where they are limited or known."""
    rows = []
    for arm in comparison.arms:
        spent, parts = arm.record.spent_in_all, arm.record.spent
        values: tuple[Value, ...] = (
            arm.name,
            spent.worker_s,
            spent.gpu_s or None,
            prices.price(spent) or None,
            *(parts[phase].worker_s for phase in ("search", "finalise", "test")),
            num_tokens(arm),
            "; ".join(map(str, arm.limits)) or "no limit",
        )
        rows.append(plain_row(values))
    return Table(
        name=table_name("cost", comparison.task, comparison.source),
        title=f"{comparison.task}: cost",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="worker_s", title="hours", kind="hours"),
            Column(key="gpu_s", title="GPU-hours", kind="hours"),
            Column(key="money", title="money", kind="money"),
            Column(key="search_s", title="search", kind="duration"),
            Column(key="finalising_s", title="finalising", kind="duration"),
            Column(key="test_s", title="test", kind="duration"),
            Column(key="train_tokens", title="training tokens", kind="count"),
            Column(key="share", title="of its share"),
        ),
        rows=tuple(rows),
        notes=(
            "Hours of workers as trials reported them (epochs and test; loading and idle workers are not in them), for"
            " the search, finalising and test together; GPU-hours count the GPUs of a trial. Training tokens: of"
            " the labelled rows in the epochs reported, of all trials, each time that they were read; where"
            " updates_per_epoch cuts an epoch, rows of mean length. Prompts, parallel text, dev and test are not in"
            " them. Each arm has an equal share of the budget, and what one arm leaves no other gets.",
        ),
    )


def num_tokens(arm: ArmResult) -> int | None:
    """Tokens of the labelled rows that all trials trained on, counted each time; None where a trial did not say."""
    found = [_tokens_of(trial) for trial in arm.trials if trial.reports]
    return None if None in found else round(sum(tokens or 0.0 for tokens in found))


def _tokens_of(trial: TrialRecord) -> float | None:
    facts, training = trial.facts, trial.config["training"]
    if facts is None or not facts.num_train_tokens or not facts.num_train_rows:
        return None
    if not training.get("updates_per_epoch"):
        return len(trial.reports) * facts.num_train_tokens
    num_rows: float = len(trial.reports) * facts.num_updates_per_epoch * training["batch_size"]
    return num_rows * facts.num_train_tokens / facts.num_train_rows


def data(comparison: Comparison) -> Table:
    """What each arm read."""
    return Table(
        name=table_name("data", comparison.task, comparison.source),
        title=f"{comparison.task}: data",
        columns=(
            Column(key="arm", title="arm"),
            Column(key="method", title="method", kind="code"),
            Column(key="backbone", title="backbone"),
            Column(key="train_examples", title="train examples", kind="count"),
            Column(key="rows", title="rows", kind="count"),
            Column(key="cut", title="cut", kind="count"),
            Column(key="shots", title="shots", kind="count"),
            Column(key="samples", title="samples"),
            Column(key="data", title="data", kind="code"),
        ),
        rows=tuple(plain_row(_read(arm)) for arm in comparison.arms),
    )


def _read(arm: ArmResult) -> tuple[Value, ...]:
    facts, task = arm.facts, arm.task
    limits = [f"{split} ≤ {count(n)}" for split in SPLITS if (n := getattr(task, f"max_{split}_examples"))]
    seeded = [f"sample_seed {task.sample_seed}"] if limits or task.shots else []
    draws = sorted({trial.draw for trial in arm.best.trials if trial.draw is not None}) if arm.best else []
    seeded += [f"draws {', '.join(map(str, draws))}"] if draws else []
    prints = sorted({found for each in arm.all_facts if (found := each.data_fingerprint)})
    finer = [f"{language} split {each.split:g}" for language, each in (arm.arm.backbone.segmentation or {}).items()]
    return (
        arm.name,
        arm.arm.method,
        ", ".join([arm.arm.backbone.name, *finer]),
        facts.num_train_examples if facts else None,
        facts.num_train_rows if facts else None,
        facts.num_train_truncated if facts else None,
        task.shots,
        ", ".join(limits + seeded) or "whole splits",
        names(prints) or None,
    )
