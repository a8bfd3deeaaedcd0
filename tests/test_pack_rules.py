"""Which trials share a slot: shares, drains, deaths, and how many there may be. Slots are simulated."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from simulation import simulated_sweep
from work import Work as PlainWork

from tunekit.errors import ConfigError
from tunekit.execution.protocol import Ask, Fatal, Job, Reply, SlotMessage
from tunekit.execution.slot import _Serving
from tunekit.sweep import Source, parse_sweep
from tunekit.training.messages import Reported, TrialMessage
from tunekit.training.pack_keys import pack_key
from tunekit.training.pack_size import MOST_ON_GPU, PackSize, fill
from tunekit.trial import Locations

RATE = {"low": 1e-4, "high": 1e-1, "log": True}
PACKED = {"method": "fakes:PackedPTuningV2", "space": {"learning_rate": RATE}}
SOLO = {"method": "finetune", "space": {"learning_rate": RATE}}
MIXED = {"method": "fakes:PackedPTuningV2", "space": {"learning_rate": RATE, "projection": [True, False]}}


def sweep_of(num_trials: int = 24, arms: dict[str, Any] | None = None, **changes: Any) -> Any:
    content = {
        "arms": arms or {"packed": PACKED},
        "fixed": {"epochs": 2},
        "search": {"searcher": "random", "num_trials": num_trials, "seed": 1},
        "scheduler": {"name": "none"},
        "finalise": {"top": 0},
        **changes,
    }
    return simulated_sweep(**content)


class Work(PlainWork):
    """Keeps what slots that wait are answered when another one speaks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.late: dict[str, Reply] = {}

    def tell(self, slot: str, content: Ask | Fatal | TrialMessage) -> Reply | None:
        message = SlotMessage(slot=slot, worker=f"host:{slot}", content=content)
        replies = dict(self.dispatcher.exchange([message]))
        reply = replies.pop(slot, None)
        self.late |= replies
        return reply


@dataclass
class Slot:
    """A simulated slot that packs up to `capacity` trials, and notes who ran together."""

    name: str
    capacity: int = 8
    members: dict[str, Iterator[TrialMessage]] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    together: list[tuple[str, ...]] = field(default_factory=list)
    has_left: bool = False

    def fill(self, work: Work) -> bool:
        """Ask until there is no more; whether a trial came."""
        before = len(self.given)
        while len(self.members) < self.capacity and not self.has_left:
            num = len(self.members)
            reply = work.tell(self.name, Ask(num_running=num, room=self.capacity - num))
            assert reply is not None or not num, "a slot at work is never made to wait"
            if reply is None or reply.job is None:
                self.has_left = reply is not None and reply.kind == "leave"
                break
            self.take(work, reply.job)
        return len(self.given) > before

    def take(self, work: Work, job: Job) -> None:
        name = job.config.trial_id
        assert name not in self.members
        self.members[name] = work.messages(job)
        self.given.append(name)
        self.together.append(tuple(self.members))

    def advance(self, work: Work, name: str) -> None:
        """One message of a member."""
        message = next(self.members[name])
        reply = work.tell(self.name, message)
        if message.is_last or (reply is not None and reply.kind == "stop"):
            del self.members[name]


def run_all(work: Work, slots: Sequence[Slot], *, seed: int = 0) -> None:
    """Let the slots work to the end, in an order drawn at random."""
    draw = random.Random(seed)
    for _ in range(100_000):
        if all(slot.has_left for slot in slots):
            return
        slot = draw.choice([slot for slot in slots if not slot.has_left])
        if slot.members:
            slot.advance(work, draw.choice(sorted(slot.members)))
        _ask(work, slot)
    raise AssertionError("the sweep never ended")


def _ask(work: Work, slot: Slot) -> None:
    """Let a slot ask for trials, or look whether what it waits for has come."""
    reply = work.late.pop(slot.name, None)
    if reply is not None and reply.job is not None:
        slot.take(work, reply.job)
    slot.has_left = slot.has_left or (reply is not None and reply.kind == "leave")
    if slot.name not in work.dispatcher._waiting:
        slot.fill(work)


# -- shares ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_slots", "capacity", "share"), [(1, 8, 8), (1, 64, 24), (2, 64, 12), (3, 8, 8), (5, 64, 5), (24, 64, 1)]
)
def test_trials_are_shared_out_among_slots_that_have_yet_to_start(
    num_slots: int, capacity: int, share: int, tmp_path: Path
) -> None:
    work = Work(sweep_of(), tmp_path)
    work.dispatcher.num_slots = num_slots
    slots = [Slot(f"slot{number}", capacity) for number in range(num_slots)]
    for slot in slots:
        slot.fill(work)
        assert len(slot.members) == min(share, 24 - share * slots.index(slot))
    run_all(work, slots)
    assert work.dispatcher.is_done and sum(len(slot.given) for slot in slots) == 24


def test_a_slot_that_comes_late_finds_its_share(tmp_path: Path) -> None:
    work = Work(sweep_of(), tmp_path)
    work.dispatcher.num_slots = 2
    early, late = Slot("early", 64), Slot("late", 64)
    early.fill(work)
    for name in list(early.members)[:4]:
        while name in early.members:
            early.advance(work, name)
    early.fill(work)
    late.fill(work)
    assert (len(early.members), len(late.members)) == (10, 10)


def test_packing_off_or_a_method_that_cannot_gives_every_slot_one_trial(tmp_path: Path) -> None:
    for number, sweep in enumerate((sweep_of(resources={"pack": "off"}), sweep_of(arms={"solo": SOLO}))):
        work = Work(sweep, tmp_path / str(number))
        slot = Slot("a")
        slot.fill(work)
        assert len(slot.members) == 1
        assert next(iter(work.dispatcher._running["a"].values())).trial.state == "RUNNING"


def test_a_job_says_how_many_may_run_with_it(tmp_path: Path) -> None:
    packs = []
    for number, (arm, pack) in enumerate([(PACKED, "auto"), (PACKED, 3), (PACKED, False), (SOLO, 3)]):
        work = Work(sweep_of(arms={"arm": arm}, resources={"pack": pack}), tmp_path / str(number))
        packs.append(work.job("a").pack)
    assert packs == ["auto", 3, "off", "off"]


# -- what may be together, and what waits ------------------------------------------------------------------------------


@pytest.mark.parametrize("num_slots", [1, 2, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_members_always_share_their_key_and_all_trials_end(num_slots: int, seed: int, tmp_path: Path) -> None:
    arms = {"mixed": MIXED, "solo": SOLO, "packed": PACKED, "other": {**PACKED, "backbone": "toy-xglm"}}
    work = Work(sweep_of(9, arms, seeds=[1, 2], finalise={"top": 1, "seeds": [1, 7, 8]}), tmp_path)
    work.dispatcher.num_slots = num_slots
    slots = [Slot(f"slot{number}", 4) for number in range(num_slots)]
    run_all(work, slots, seed=seed)
    trials, key = work.search.record.trials, work.dispatcher._packing.key
    assert {trial.state for trial in trials.values()} == {"COMPLETE"}
    together = [members for slot in slots for members in slot.together if len(members) > 1]
    assert together, "something was packed"
    for members in together:
        keys = {key(trials[name]) for name in members}
        assert len(keys) == 1 and None not in keys


def test_an_arm_that_can_be_packed_is_at_most_a_pack_ahead_of_one_that_cannot(tmp_path: Path) -> None:
    work = Work(sweep_of(24, {"packed": PACKED, "solo": SOLO}), tmp_path)
    slot, leads, tell = Slot("a", 6), [], work.tell

    def told(name: str, content: Any) -> Reply | None:
        reply = tell(name, content)
        packed, solo = (len(work.search.record.arm(arm).points) for arm in ("packed", "solo"))
        leads.append(packed - solo)
        return reply

    work.tell = told  # type: ignore[method-assign]
    run_all(work, [slot])
    assert max(leads) == 7 and min(leads) >= -24 + 7
    assert max(map(len, slot.together)) == 6


def test_a_trial_that_no_pack_can_take_waits_until_the_pack_is_filled_once_and_drained(tmp_path: Path) -> None:
    work = Work(sweep_of(40, {"mixed": MIXED}), tmp_path)
    slot = Slot("a", 4)
    run_all(work, [slot])
    trials, key = work.search.record.trials, work.dispatcher._packing.key
    drawn, given = list(trials), slot.given
    for name in drawn:
        if key(trials[name]) is None:
            later = [other for other in given[: given.index(name)] if drawn.index(other) > drawn.index(name)]
            assert len(later) <= 2 * slot.capacity, "others that overtook it"
    assert max(map(len, slot.together)) == 4 and len(given) == 40


def test_a_slot_at_work_is_told_at_once_that_there_is_nothing(tmp_path: Path) -> None:
    work = Work(sweep_of(2), tmp_path)
    work.job("a")
    assert work.tell("b", Ask()) is not None
    reply = work.tell("a", Ask(num_running=1, room=7))
    assert reply is not None and reply.kind == "wait"
    assert work.tell("c", Ask()) is None, "one that has nothing to do waits"


def test_a_slot_that_was_thought_dead_is_given_nothing_to_pack(tmp_path: Path) -> None:
    work = Work(sweep_of(), tmp_path)
    work.job("a")
    work.dispatcher.lost("a", "its worker died")
    reply = work.tell("a", Ask(num_running=1, room=7))
    assert reply is not None and reply.kind == "wait"


def test_the_key_is_of_backbone_and_method_and_not_of_what_members_may_differ_in(tmp_path: Path) -> None:
    work = Work(sweep_of(2, seeds=[1, 2]), tmp_path)
    one, two = (work.job(slot).config for slot in "ab")
    here = Locations()
    key = pack_key(one, here)
    options = {**one.options, "prompt_length": 3}
    same = [two, replace(one, seed=9), replace(one, options=options)]
    same.append(replace(one, training=replace(one.training, batch_size=4, epochs=7)))
    assert key is not None and {pack_key(config, here) for config in same} == {key}
    others = [
        replace(one, backbone=replace(one.backbone, dtype="bf16")),
        replace(one, backbone=replace(one.backbone, name="toy-xglm")),
        replace(one, method="fakes:EndsPacked"),
    ]
    keys = {pack_key(config, here) for config in others} | {pack_key(one, Locations(device="cuda:1"))}
    assert len(keys) == 4 and key not in keys
    assert pack_key(replace(one, options={**one.options, "projection": True}), here) is None


# -- deaths ------------------------------------------------------------------------------------------------------------


def _sweep_with_a_culprit(work: Work, slots: list[Slot], culprit: str, *, seed: int) -> Counter[str]:
    """Run to the end; a slot dies whenever it lets the culprit begin its second epoch. Gives each trial's deaths."""
    draw, deaths = random.Random(seed), Counter[str]()
    for _ in range(100_000):
        if all(slot.has_left for slot in slots):
            return deaths
        slot = draw.choice([slot for slot in slots if not slot.has_left])
        if not slot.members:
            _ask(work, slot)
            continue
        name = draw.choice(sorted(slot.members))
        if name == culprit and len(work.search.record.trials[name].reports) == 1:
            deaths.update(list(slot.members))
            work.dispatcher.lost(slot.name, "its worker died")
            slot.members.clear()
            continue
        slot.advance(work, name)
        slot.fill(work)
    raise AssertionError("the sweep never ended")


@pytest.mark.parametrize("num_slots", [1, 3])
@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_member_that_ends_its_process_fails_alone_and_its_company_dies_at_most_twice(
    num_slots: int, retries: int, tmp_path: Path
) -> None:
    for seed in range(3):
        work = Work(sweep_of(16, fixed={"epochs": 3}, resources={"retries": retries}), tmp_path / str(seed))
        slots = [Slot(f"slot{number}") for number in range(num_slots)]
        slots[0].fill(work)
        culprit = slots[0].given[3]
        deaths = _sweep_with_a_culprit(work, slots, culprit, seed=seed)
        trials = work.search.record.trials
        assert [name for name, trial in trials.items() if trial.state != "COMPLETE"] == [culprit]
        assert trials[culprit].state == "FAILED" and deaths.pop(culprit) <= retries + 3
        assert max(deaths.values()) <= 2


def test_a_trial_whose_process_died_twice_runs_alone_until_it_reports(tmp_path: Path) -> None:
    work = Work(sweep_of(), tmp_path)
    slot = Slot("a", 3)
    for _ in range(2):
        slot.fill(work)
        assert len(slot.members) == 3
        work.dispatcher.lost("a", "its worker died")
        slot.members.clear()
    slot.fill(work)
    assert len(slot.members) == 1
    (suspect,) = slot.members
    slot.advance(work, suspect)  # started
    slot.fill(work)
    assert len(slot.members) == 1
    slot.advance(work, suspect)  # reported
    slot.fill(work)
    assert len(slot.members) == 3


def test_drivers_killed_again_and_again_fail_no_member(tmp_path: Path) -> None:
    sweep = sweep_of(8, fixed={"epochs": 3}, finalise={"top": 1, "seeds": [10, 11]})
    draw, kills = random.Random(5), 0
    while True:
        work = Work(sweep, tmp_path)
        if work.search.is_done:
            break
        work.journal.append("resumed", versions={}, host="h", pid=1, execution={"in_process": True})
        work.dispatcher.set_aside()
        slot = Slot("here", 8)
        slot.fill(work)
        for _ in range(draw.randint(8, 30)):  # each has more to say than that
            if not slot.members:
                break
            slot.advance(work, draw.choice(sorted(slot.members)))
            slot.fill(work)
        kills += 1
        work.journal.close()
    assert kills >= 5
    assert {trial.state for trial in work.search.record.trials.values()} == {"COMPLETE"}
    assert not work.dispatcher.problems


# -- how many ----------------------------------------------------------------------------------------------------------


def test_a_given_number_is_kept_whatever_is_measured() -> None:
    for setting, limit in ((3, 3), (100, 100), ("off", 1)):
        for on_gpu in (True, False):
            size = PackSize(setting, on_gpu=on_gpu)  # type: ignore[arg-type]
            _run_gpu(size, {n: 1000.0 * n for n in range(1, 101)}, num=100)
            assert size.limit([1.0]) == size.limit([1e6]) == limit


@pytest.mark.parametrize(
    ("tokens", "limit"), [([], 8), ([100.0], 8), ([256.0], 8), ([512.0, 512.0], 4), ([640, 1408], 2), ([9000.0], 1)]
)
def test_on_a_cpu_members_fill_a_joint_update_by_their_shapes_alone(tokens: list[float], limit: int) -> None:
    size = PackSize("auto")
    size.observe(num_members=8, num_tokens=10, seconds=1e-9, peak_memory_fraction=0.0)
    assert size.limit(tokens) == limit
    assert not tokens or limit == max(1, min(8, fill(tokens)))


def _run_gpu(size: PackSize, tokens_per_s: dict[int, float], *, num: int = 400, memory: Any = lambda n: 0.1) -> int:
    """Keep the pack full on a simulated device; gives where it ends."""
    for _ in range(num):
        members = size.limit()
        if memory(members) > 1:
            size.ran_out_of_memory(members)
            continue
        rate = tokens_per_s[members]
        size.observe(
            num_members=members,
            num_tokens=100 * members,
            seconds=100 * members / rate,
            peak_memory_fraction=memory(members),
        )
    return size.limit()


@pytest.mark.parametrize(
    ("rates", "ends_at"),
    [
        ({4: 10, 8: 19, 16: 36, 32: 60, 64: 90}, MOST_ON_GPU),
        ({4: 10, 8: 19, 16: 36, 32: 37}, 16),
        ({4: 10, 8: 10.4}, 4),
        ({4: 10, 8: 15, 16: 12}, 8),
    ],
)
def test_on_a_gpu_a_pack_grows_as_long_as_it_gets_faster(rates: dict[int, float], ends_at: int) -> None:
    assert _run_gpu(PackSize("auto", on_gpu=True), rates) == ends_at


def test_on_a_gpu_a_pack_grows_only_into_memory_that_is_there() -> None:
    rising = {4: 10.0, 8: 19, 16: 36, 32: 60, 64: 90}
    weights = _run_gpu(PackSize("auto", on_gpu=True), rising, memory=lambda n: 0.5 + 0.01 * n)
    assert weights == 32, "64 would take more than all"
    assert _run_gpu(PackSize("auto", on_gpu=True), rising, memory=lambda n: 0.9) == 4


@pytest.mark.parametrize(("fits", "ends_at"), [(30, 16), (7, 4), (3, 2), (0, 1)])
def test_a_pack_that_ran_out_of_memory_shrinks_and_stays_small(fits: int, ends_at: int) -> None:
    rising = {1: 3.0, 2: 6.0, 4: 10.0, 8: 19, 16: 36, 32: 60, 64: 90}
    size = PackSize("auto", on_gpu=True)
    assert _run_gpu(size, rising, memory=lambda n: 0.1 if n <= max(fits, 1) else 2.0) == ends_at
    assert PackSize(6).limit() == 6 and _after_the_end(PackSize(6), 6) == 3


def _after_the_end(size: PackSize, num_members: int) -> int:
    size.ran_out_of_memory(num_members)
    return size.limit()


def test_the_first_updates_of_a_size_are_not_measured() -> None:
    size = PackSize("auto", on_gpu=True)
    for number in range(60):
        members = size.limit()
        slow = 50.0 if number < 4 else 1.0  # warming up
        size.observe(num_members=members, num_tokens=members, seconds=slow, peak_memory_fraction=0.1)
    assert size.limit() > 4


# -- resources.pack ----------------------------------------------------------------------------------------------------


def _pack(value: Any) -> object:
    content = {
        "name": "s",
        "task": {"name": "udpos", "target_languages": ["de"]},
        "backbone": "toy-bert",
        "arms": {"solo": SOLO},
        "resources": {"pack": value},
    }
    return parse_sweep(content, Source("s.yaml")).resources.pack


@pytest.mark.parametrize(("value", "pack"), [("auto", "auto"), ("off", "off"), (False, "off"), (1, 1), (8, 8)])
def test_pack_is_auto_off_or_a_number_and_off_needs_no_quotes(value: object, pack: object) -> None:
    assert _pack(value) == pack


@pytest.mark.parametrize("value", [True, 0, -1, 2.5, "8", "on", "Auto", None, [4], {"n": 4}])
def test_any_other_pack_is_refused_with_what_would_be_right(value: object) -> None:
    with pytest.raises(ConfigError, match=r"s\.yaml: resources\.pack: .*auto, off, or a whole number of trials"):
        _pack(value)


def test_the_pack_is_no_part_of_what_a_sweep_is() -> None:
    one, other = sweep_of(resources={"pack": 3}), sweep_of(resources={"pack": "off"})
    assert one.identity() == other.identity()


# -- the slot's side ---------------------------------------------------------------------------------------------------


class FakePack:
    """Members that each say so many things."""

    warm = ()

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.members: dict[str, Iterator[TrialMessage]] = {}
        self.log: list[int] = []
        self.streams: dict[str, Iterator[TrialMessage]] = {}

    def __len__(self) -> int:
        return len(self.members)

    @property
    def room(self) -> int:
        return self.capacity - len(self)

    def add(self, config: Any, **where: Any) -> None:
        self.members[config.trial_id] = self.streams[config.trial_id]

    def advance(self) -> list[TrialMessage]:
        self.log.append(len(self))
        name = next(iter(self.members))
        stream = self.members.pop(name)
        message = next(stream)
        if not message.is_last:
            self.members[name] = stream
        return [message]

    def answer(self, trial_id: str, goes_on: bool) -> None:
        if not goes_on:
            del self.members[trial_id]

    def close(self) -> None:
        self.members.clear()


class FakeLine:
    """A line to a dispatcher in this process that notes the asks."""

    def __init__(self, work: Work, pack: FakePack) -> None:
        self.work, self.pack = work, pack
        self.asks: list[Ask] = []

    def post(self, message: SlotMessage) -> None:
        assert self.ask_or_post(message) is None or isinstance(message.content, Fatal)

    def ask(self, message: SlotMessage) -> Reply:
        if isinstance(message.content, Ask):
            self.asks.append(message.content)
        reply = self.ask_or_post(message)
        assert reply is not None
        if reply.job is not None:
            self.pack.streams[reply.job.config.trial_id] = self.work.messages(reply.job)
        return reply

    def ask_or_post(self, message: SlotMessage) -> Reply | None:
        return dict(self.work.dispatcher.exchange([message])).get(message.slot)


@pytest.mark.parametrize("capacity", [1, 3, 8])
def test_a_slot_refills_its_running_pack_and_leaves_when_all_is_done(capacity: int, tmp_path: Path) -> None:
    work, pack = Work(sweep_of(12), tmp_path), FakePack(capacity)
    line = FakeLine(work, pack)

    def message(*, content: Any) -> SlotMessage:
        return SlotMessage(slot="a", worker="w", content=content)

    serving = _Serving(pack, line, message)  # type: ignore[arg-type]
    while serving.is_wanted or serving.is_busy:
        for _ in serving.fill():
            pass
        if serving.is_busy:
            for _ in serving.advance():
                pass
    assert work.dispatcher.is_done and {t.state for t in work.search.record.trials.values()} == {"COMPLETE"}
    assert max(pack.log) == capacity and max(ask.num_running for ask in line.asks) == capacity - 1 + (capacity == 12)
    busy = [size for size in pack.log[: len(pack.log) // 2]]
    assert sum(busy) / len(busy) > 0.8 * capacity, "it is kept full"


def test_reported_members_are_the_only_ones_that_are_answered(tmp_path: Path) -> None:
    work = Work(sweep_of(4), tmp_path)
    slot = Slot("a", 4)
    slot.fill(work)
    for name in list(slot.members):
        for message in slot.members[name]:
            assert (work.tell("a", message) is not None) == isinstance(message, Reported)
