"""Which trial a slot that runs some may be given to pack with them, and which trials run alone.

1. Members of a pack have one key (:func:`tunekit.training.pack_keys.pack_key`).
2. Trials are shared out: a pack is filled only up to the trials that each slot would get if all had as many.
3. Nobody starves: while a trial waits that no pack can take, a pack is filled once, not refilled, and so drains; and an
   arm that can be packed is at most one pack ahead of the others.
4. A trial that may have ended its process twice runs alone, so that it takes no others with it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tunekit.journal import TrialRecord
from tunekit.schema import build
from tunekit.search import Assignment, Search
from tunekit.search.engine import LEAD
from tunekit.sweep import Arm
from tunekit.training.pack_keys import pack_key
from tunekit.trial import TrialConfig

SUSPECT_AFTER = 2
"""So many deaths of its process since its last report, and a trial runs alone."""


class Deaths:
    """How often a trial's process has died since it last reported, as far as this driver was told.

    Deaths of the driver itself are in the journal (`TrialRecord.num_deaths`, `num_shared_deaths`). Those that a trial
    shared with others make it run alone, and alone a trial shows whether it is at fault: only such deaths fail it.
    """

    def __init__(self) -> None:
        self._alone: Counter[str] = Counter()
        self._shared: Counter[str] = Counter()

    def died_alone(self, trial: TrialRecord) -> int:
        """Its process ran nothing else; gives how often that has happened."""
        self._alone[trial.trial_id] += 1
        return self._alone[trial.trial_id]

    def died_with_others(self, trial: TrialRecord) -> None:
        """Its process ran other trials too."""
        self._shared[trial.trial_id] += 1

    def forget(self, trial: TrialRecord) -> None:
        """The trial has made progress."""
        self._alone.pop(trial.trial_id, None)
        self._shared.pop(trial.trial_id, None)

    def is_suspect(self, trial: TrialRecord) -> bool:
        """Whether it is to run alone."""
        told = self._alone[trial.trial_id] + self._shared[trial.trial_id]
        return told + trial.num_deaths + trial.num_shared_deaths >= SUSPECT_AFTER


@dataclass(frozen=True, kw_only=True)
class Crew:
    """A slot that runs trials, and asks for another one."""

    members: Collection[Assignment]
    """At least one."""
    room: int
    """Further trials that it could run."""
    num_joined: int
    """Trials that it was given since it last had none."""

    @property
    def capacity(self) -> int:
        """Trials that it could run in all."""
        return len(self.members) + self.room


class Packing:
    """The rules for one sweep.

    Args:
        search: hands out the trials.
        deaths: says which run alone.
    """

    def __init__(self, search: Search, deaths: Deaths) -> None:
        self._search, self._deaths = search, deaths
        self._keys: dict[tuple[str, str], str | None] = {}
        self._keys_of_arms: defaultdict[str, set[str | None]] = defaultdict(set)

    def next_member(self, crew: Crew, *, num_slots: int, cost: Callable[[Arm], float]) -> Assignment | None:
        """A trial to pack with those of `crew`; None: there is none for it now.

        A point may turn out to be of another kind than the crew once it is drawn (where an option that decides it is
        searched). It then waits for a slot that has nothing to do.

        Args:
            crew: the slot's trials.
            num_slots: among how many slots the sweep's trials are shared out.
            cost: what the slot would have to load for a trial of an arm.
        """
        key = self._key_of(crew)
        if key is None or len(crew.members) >= math.ceil(self._search.num_usable / num_slots):
            return None

        def fits(trial: TrialRecord) -> bool:
            return self.key(trial) == key and not self._deaths.is_suspect(trial)

        def cost_in_pack(arm: Arm) -> float:
            return cost(arm) if self._may_have(arm, key, crew) else math.inf

        lead = max(LEAD, crew.capacity)
        while not self._must_drain(crew, sum(not fits(trial) for trial in self._search.waiting)):
            found = self._search.next_trial(cost_in_pack, fits=fits, lead=lead)
            if found is None or fits(found.trial):
                return found
            self._search.release(found.trial)
        return None

    def key(self, trial: TrialRecord) -> str | None:
        """What it has in common with those that it may be packed with; None: it runs alone."""
        if self._search.sweep.resources.pack == "off":
            return None
        where = (trial.arm, trial.point_id)  # neither seed nor draw has a say
        if where not in self._keys:
            config = build(TrialConfig, trial.config, "journal")
            self._keys[where] = pack_key(config, self._search.sweep.arm(trial.arm).locations)
            self._keys_of_arms[trial.arm].add(self._keys[where])
        return self._keys[where]

    def _key_of(self, crew: Crew) -> str | None:
        """The key of all members; None: nothing may join them."""
        trials = [member.trial for member in crew.members]
        keys = {self.key(trial) for trial in trials}
        is_open = len(keys) == 1 and not any(map(self._deaths.is_suspect, trials))
        return keys.pop() if is_open else None

    def _may_have(self, arm: Arm, key: str, crew: Crew) -> bool:
        """Whether a trial of `arm` may have the key: one had, or none is known and the method is that of the crew."""
        seen = self._keys_of_arms[arm.name]
        return key in seen or (not seen and any(arm.method == member.arm.method for member in crew.members))

    def _must_drain(self, crew: Crew, num_misfits: int) -> bool:
        """Whether trials that cannot be packed here have waited long enough, or enough of them wait."""
        return num_misfits >= crew.capacity or (num_misfits > 0 and crew.num_joined >= crew.capacity)
