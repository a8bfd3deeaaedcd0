"""Whether a sweep's budget and the disk suffice, by the estimate: lines of the page, and what is worth knowing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunekit.check.findings import ArmCheck, SweepCheck
from tunekit.storage import bytes_at_work
from tunekit.sweep import Spent, Sweep
from tunekit.wording import in_bytes, listed, plural

BYTES = 4
"""Of a trained parameter; they are fp32 whatever the backbone is."""


def budget_in_words(sweep: Sweep) -> str:
    """The limits of a sweep and how they are shared."""
    budget = sweep.budget
    limits = [plural(budget.trials, "search trial")] if budget.trials is not None else []
    limits += [f"{limit.total:,g} {limit.unit}" for limit in budget.limits(Spent(), sweep.rates)]
    if not limits:
        return "no ceiling"
    shared = f"{listed(limits)}, shared equally by the arms"
    return f"{shared}; {_reserve(sweep)}" if budget.is_timed and sweep.finalise.top else shared


def _reserve(sweep: Sweep) -> str:
    budget = sweep.budget
    if budget.reserve is not None:
        return f"the search leaves {budget.reserve:.0%} to finalising"
    if budget.reserve_hours is not None:
        return f"the search leaves {budget.reserve_hours:g} hours of workers to finalising"
    return "the search leaves what finalising takes by the trials so far, at most half"


def budget_needed(check: SweepCheck) -> Iterator[str]:
    """For each limit of time or money what the whole sweep takes by the estimate, not stopped early."""
    sweep = check.sweep
    for limit in sweep.budget.limits(Spent(), sweep.rates):
        search, final = (hours * limit.per_hour for hours in (check.search_hours, check.final_hours))
        low, high = search.low + final.low, search.high + final.high
        verdict = "suffices" if high <= limit.total else "may suffice" if low <= limit.total else "does not suffice"
        yield (
            f"{limit.total:,g} {limit.unit}: {verdict} for all trials, which take {low:,.3g} to {high:,.3g} "
            f"({final.low:,.3g} to {final.high:,.3g} of it to finalise)"
        )


def notes_of_budget(sweep: Sweep, arms: Sequence[ArmCheck]) -> Iterator[str]:
    """Where the budget may end a search before its points, and where it is too small for any result."""
    part = 1 / len(arms)
    for arm in arms if sweep.budget.is_timed else ():
        share = sweep.budget.left_s(Spent(), sweep.rates, part=part) / 3600
        search = _search_share(sweep, arm, len(arms))
        if arm.trial_hours.low + arm.final_hours.low > share:
            yield (
                f"{arm.arm.name}: its share of the budget, {share:.3g} hours of a worker, is less than one trial "
                f"({arm.trial_hours.low:.3g} h) and finalising ({arm.final_hours.low:.3g} h) take by the estimate; "
                "raise the budget, or lower finalise.top or its seeds"
            )
        elif arm.search_hours.low > search:
            few = max(1, round(search / max(arm.search_hours.low, 1e-9) * arm.num_search_trials))
            yield (
                f"{arm.arm.name}: its share of the budget, {search:.3g} h of search, may end the search after about "
                f"{few} of {arm.num_search_trials} trials"
            )


def _search_share(sweep: Sweep, arm: ArmCheck, num_arms: int) -> float:
    """Hours of a worker that the search of an arm may spend."""
    final_s = 3600 * arm.final_hours.low
    return sweep.budget.search_left_s(Spent(), sweep.rates, num_arms=num_arms, finalising_s=final_s) / 3600


@dataclass(frozen=True, kw_only=True)
class DiskNeed:
    """What the checkpoints of a sweep take at most, in bytes."""

    kept: int
    """Of trials that are over, at the end or as long as finalising may need them."""
    per_trial: int
    """Of the largest trial at work, and of the other seeds and draws of its point, which wait for it."""

    def in_words(self) -> str:
        """Both figures."""
        return f"{in_bytes(self.kept)} kept, and up to {in_bytes(self.per_trial)} for each trial at work"


def disk_need(sweep: Sweep, arms: Sequence[ArmCheck]) -> DiskNeed:
    """Trained parameters and checkpoints of all arms; a frozen backbone is never written, a trained one is.

    Predictions, the journal and reports come on top.
    """
    kept = sum(_trained_bytes(arm) * _num_kept(sweep, arm) for arm in arms)
    return DiskNeed(kept=kept, per_trial=max((_bytes_at_work(sweep, arm) for arm in arms), default=0))


def _trained_bytes(arm: ArmCheck) -> int:
    return BYTES * int(arm.num_trainable.high)


def _bytes_at_work(sweep: Sweep, arm: ArmCheck) -> int:
    others = 0 if sweep.storage.keep == "all" else sweep.num_replicates(arm.arm) - 1  # all are counted as kept
    return bytes_at_work(arm.num_trainable.high) + others * _trained_bytes(arm)


def _num_kept(sweep: Sweep, arm: ArmCheck) -> int:
    """Trials of an arm whose trained parameters stand on the disk at once, those at work left out."""
    top = min(sweep.finalise.top, arm.num_points)
    anew = top * sweep.num_finals_anew(arm.arm) + sweep.num_raced(top)
    if sweep.storage.keep == "all":
        return arm.num_search_trials + anew
    has_finals = sweep.storage.keep == "top" or sweep.finalise.race is not None  # which wait for their test
    return top * sweep.num_replicates(arm.arm) + (anew if has_finals else 0)


def disk_in_words(check: SweepCheck) -> str:
    """What the sweep writes at most, and what is free."""
    free = "" if check.free_bytes is None else f"; {in_bytes(check.free_bytes)} are free"
    kept = {"top": "the best trials of each arm", "all": "all trials", "none": "trials that finalising still needs"}
    what = f"trained parameters of {kept[check.sweep.storage.keep]}, never a frozen backbone"
    return f"{disk_need(check.sweep, check.arms).in_words()} ({what}){free}"


def lacks_room(sweep: Sweep, arms: Sequence[ArmCheck], free_bytes: int | None) -> bool:
    """Whether the disk is too small for what is kept and one trial at work; False where nobody says what is free."""
    need = disk_need(sweep, arms)
    return free_bytes is not None and need.kept + need.per_trial > free_bytes


def notes_of_disk(sweep: Sweep, arms: Sequence[ArmCheck], free_bytes: int | None) -> Iterator[str]:
    """Where the disk is too small."""
    if lacks_room(sweep, arms, free_bytes):
        need = disk_need(sweep, arms)
        yield (
            f"the disk may not suffice: {need.in_words()}, and {in_bytes(free_bytes or 0)} are free; free some, lower "
            "finalise.top, or use `storage: {keep: none}`"
        )
