"""The driver's side: hands trials to slots that ask, carries their messages into the search, and answers.

Knows nothing of where slots run. What a reply says is on the disk before the reply leaves: every exchange ends with a
flush of the journal.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from tunekit import storage
from tunekit.execution.losses import Losses
from tunekit.execution.notices import Notices
from tunekit.execution.packing import Crew, Packing
from tunekit.execution.protocol import Ask, Beat, Fatal, Job, Leaving, Notice, Reply, SlotMessage, SweepInterrupted
from tunekit.execution.room_on_disk import RoomOnDisk
from tunekit.execution.step_sizes import StepSizes
from tunekit.execution.watchdog import Watchdog
from tunekit.journal import TrialRecord
from tunekit.schema import build
from tunekit.search import Assignment, Search
from tunekit.storage import AnyPath, SweepFolder
from tunekit.sweep import Arm
from tunekit.training.messages import Finished, Reported, Started, Tested, TrialMessage, Untested
from tunekit.training.warm_keys import backbone_key, task_key
from tunekit.trial import EpochReport, TrialConfig
from tunekit.wording import duration, plural

logger = logging.getLogger(__name__)

GO_ON, STOP, WAIT, LEAVE = (Reply(kind=kind) for kind in ("go_on", "stop", "wait", "leave"))


class Dispatcher:
    """Serves the slots of one sweep.

    Args:
        search: replayed and ready; touched by the caller's thread alone.
        folder: the sweep's.
        idle_s: a slot that has had nothing to do for so long is told to leave; None keeps it until the sweep is done.
        is_in_process: the slot is in this process, which a trial may end before it says its first word: that it was
            handed out goes into the journal.
        clock: seconds that only grow.
        notify: called with a sentence that the user should read now.

    Attributes:
        num_slots: among how many slots the sweep's trials are shared out, those that have yet to start included.
    """

    def __init__(
        self,
        search: Search,
        folder: AnyPath,
        *,
        idle_s: float | None = None,
        is_in_process: bool = False,
        clock: Callable[[], float] = time.monotonic,
        notify: Callable[[str], None] = logger.warning,
    ) -> None:
        self.num_slots = 1
        self._search, self._folder = search, SweepFolder(folder)
        self._idle_s, self._clock, self._notify = idle_s, clock, notify
        self._notices = Notices(notify, clock=clock)
        self._disk = RoomOnDisk(folder, self._notices.take, clock=clock)
        self._step_sizes = StepSizes(search.sweep.resources.tokens_per_step, notify=notify)
        self._is_in_process = is_in_process
        self._watchdog = Watchdog(search.sweep.resources.hang_after, clock)
        self._leaving: dict[str, str] = {}
        self._running: dict[str, dict[str, Assignment]] = {}
        self._waiting: dict[str, SlotMessage] = {}
        self._idle_since: dict[str, float] = {}
        self._num_joined: Counter[str] = Counter()
        self._losses = Losses(search, notify)
        self._packing = Packing(search, self._losses.deaths)
        self._keys: dict[str, tuple[str, ...]] = {}
        self._warm: dict[str, frozenset[str]] = {}
        self._obsolete: list[AnyPath] = []
        for trial in search.record.trials.values():
            if trial.state != "RUNNING":
                self._let_go(trial)  # a kill may have come between the line in the journal and the deletion

    @property
    def is_done(self) -> bool:
        """Whether the sweep is over."""
        return self._search.is_done

    @property
    def problems(self) -> list[str]:
        """What could not be tested, for the end of the run."""
        return self._losses.problems

    def num_wanted_slots(self) -> int:
        """How many slots the sweep can use now, those at work included."""
        if self._waiting:
            return sum(map(bool, self._running.values()))
        return self._search.num_usable

    # -- exchanges -----------------------------------------------------------------------------------------------

    def exchange(self, messages: Sequence[SlotMessage]) -> list[tuple[str, Reply]]:
        """Take messages; give the replies that can be given now, each with its slot.

        A slot that has nothing to do and asks while there is nothing gets its reply from a later call. Asks and reports
        of epochs are answered, other messages are not.

        Raises:
            SweepInterrupted: a slot says that the sweep cannot go on.
            DataChanged: a trial reads other bytes than the sweep began with.
            StorageError: the journal cannot be written.
        """
        replies = []
        try:
            for message in messages:
                reply = self.receive(message)
                if reply is WAIT and _can_wait(message):
                    self._waiting[message.slot] = message
                elif reply is not None:
                    replies.append((message.slot, reply))
            replies += self._answer_waiting()
        finally:
            self.flush()
        self._disk.look(each.trial for members in self._running.values() for each in members.values())
        return replies

    def _answer_waiting(self) -> list[tuple[str, Reply]]:
        """Ask again for those that wait, in the order of their coming, until one has to wait on."""
        leaving = [slot for slot in self._waiting if slot in self._leaving]
        for slot in leaving:
            del self._waiting[slot]
        replies = [(slot, LEAVE) for slot in leaving]
        while self._waiting:
            slot, message = next(iter(self._waiting.items()))
            reply = self.receive(message)
            if reply is None or reply is WAIT:
                break
            del self._waiting[slot]
            replies.append((slot, reply))
        return replies

    def receive(self, message: SlotMessage) -> Reply | None:
        """Take one message of a slot; the reply, if it needs one, may leave only after :meth:`flush`.

        Raises:
            SweepInterrupted: the slot says that the sweep cannot go on.
            DataChanged: the trial reads other bytes than the sweep began with.
        """
        content = message.content
        if isinstance(content, Ask):
            return self._hand_out(message, content)
        self._watchdog.heard(message.slot)
        if isinstance(content, Fatal):
            raise SweepInterrupted(content.reason)
        if isinstance(content, Notice):
            self._notices.take(content.text, content.topic)
            return None
        if isinstance(content, Leaving):
            return self._take_leave(message, content)
        return None if isinstance(content, Beat) else self._take_from(message, content)

    def heard(self, slot: str) -> None:
        """A slot in this process waits for what passes, and so does not hang."""
        self._watchdog.heard(slot)

    def _take_from(self, message: SlotMessage, content: TrialMessage) -> Reply | None:
        """What a slot says of a trial. One that leaves gives it back once it has a checkpoint."""
        slot = message.slot
        assignment = self._running.get(slot, {}).get(content.trial_id)
        goes_on = False  # the trial was given to another slot, because this one was thought dead
        if assignment is not None:
            goes_on = self._take(assignment.trial, content, message.worker)
            if isinstance(content, Started):
                self._watchdog.started(slot, content.trial_id)
            if not goes_on or content.is_last:
                self._close(slot, assignment)
            elif isinstance(content, Reported) and slot in self._leaving:
                self._give_back(slot, assignment, self._leaving[slot])
                goes_on = False
        return (GO_ON if goes_on else STOP) if isinstance(content, Reported) else None

    def flush(self) -> None:
        """See all that was decided on the disk, then delete weights that nothing will ask for.

        Raises:
            StorageError: the journal cannot be written.
        """
        self._search.flush()
        obsolete = [self._folder.trial(trial.trial_id).best for trial in self._search.take_disposable()]
        storage.remove(*self._obsolete, *obsolete)
        self._obsolete.clear()

    # -- handing out ---------------------------------------------------------------------------------------------

    def _hand_out(self, message: SlotMessage, ask: Ask) -> Reply:
        slot = message.slot
        if slot in self._leaving:
            return WAIT if ask.num_running else LEAVE
        self._warm[slot] = frozenset(ask.warm)
        elsewhere = frozenset().union(*(keys for other, keys in self._warm.items() if other != slot))
        assignment = self._choose(slot, ask, lambda arm: self._cost(arm, ask.warm, elsewhere))
        if assignment is not None:
            self._idle_since.pop(slot, None)
            self._running.setdefault(slot, {})[assignment.trial.trial_id] = assignment
            self._watchdog.given(slot, assignment.trial.trial_id, assignment.arm.name)
            if self._is_in_process:
                self._search.taken(assignment.trial, message.worker)
            self._num_joined[slot] = self._num_joined[slot] + 1 if ask.num_running else 1
            self._warm[slot] |= set(self._keys_of(assignment.arm))
            return Reply(kind="job", job=self._job(assignment))
        return WAIT if ask.num_running else self._without_work(slot)

    def _choose(self, slot: str, ask: Ask, cost: Callable[[Arm], float]) -> Assignment | None:
        """A trial for a slot; one that runs some already gets only what may be packed with them."""
        if not ask.num_running:
            return self._search.next_trial(cost)
        members = self._running.get(slot, {}).values()
        if len(members) != ask.num_running:  # it was thought dead, and its trials run elsewhere
            return None
        crew = Crew(members=members, room=ask.room, num_joined=self._num_joined[slot])
        return self._packing.next_member(crew, num_slots=self.num_slots, cost=cost)

    def _without_work(self, slot: str) -> Reply:
        if self._search.is_done or self._is_idle_too_long(slot):
            self._idle_since.pop(slot, None)
            self._warm.pop(slot, None)
            return LEAVE
        if not any(self._running.values()):
            raise RuntimeError("the sweep is not done, but has no trial to hand out and none is running")
        return WAIT

    def _is_idle_too_long(self, slot: str) -> bool:
        since = self._idle_since.setdefault(slot, self._clock())
        return self._idle_s is not None and self._clock() - since >= self._idle_s

    def _cost(self, arm: Arm, warm: Collection[str], elsewhere: Collection[str]) -> int:
        """What a slot would have to load for a trial of `arm`; what no other slot has loaded comes before the rest."""
        keys = self._keys_of(arm)
        missing = [key for key in keys if key not in warm]
        return (len(keys) + 1) * len(missing) + sum(key in elsewhere for key in missing)

    def _keys_of(self, arm: Arm) -> tuple[str, ...]:
        if arm.name not in self._keys:
            self._keys[arm.name] = (task_key(arm.task, arm.locations), backbone_key(arm.backbone, arm.locations))
        return self._keys[arm.name]

    def _job(self, assignment: Assignment) -> Job:
        return Job(
            config=build(TrialConfig, assignment.trial.config, "journal"),
            locations=assignment.arm.locations,
            folder=str(self._folder.trial(assignment.trial.trial_id).path),
            test=assignment.test,
            tokens_per_step=self._step_sizes.of(assignment.trial),
            pack=self._search.sweep.resources.pack if self._packing.key(assignment.trial) is not None else "off",
        )

    # -- taking back ---------------------------------------------------------------------------------------------

    def _take(self, trial: TrialRecord, message: TrialMessage, worker: str) -> bool:
        """Carry a trial's message into the search; False: the trial is stopped early."""
        search = self._search
        match message:
            case Started():
                search.started(trial, worker, message.facts)
            case Reported():
                self._compare(trial, message)
                if message.report.epoch not in trial.reports:
                    self._losses.deaths.forget(trial)
                decision = search.report(trial, message.report)
                if decision.stop:
                    search.stop(trial, decision)
                return not (decision.stop or search.pause(trial))
            case Finished():
                search.finish(trial, message.outcome)
            case Tested():
                search.tested(trial, message.scores)
            case Untested():
                self._losses.give_up(trial, message.reason)
        return True

    def _compare(self, trial: TrialRecord, message: Reported) -> None:
        """Say so if an epoch is trained again that was reported before: its checkpoint was lost."""
        epoch = message.report.epoch
        if epoch not in trial.reports:
            return
        _differs(trial, message.report)
        if message.is_new:
            text = f"trial {trial.trial_id} of {trial.arm}: a checkpoint was lost, and epoch {epoch} was trained again"
            self._notices.take(text, trial.trial_id)

    def lost(self, slot: str, reason: str) -> None:
        """A slot's process died: its trials are handed out again, or given up after ``resources.retries`` times.

        Where it ran several, nobody knows which one ended it: that counts for none, but sends each to a slot of its own
        if it happens again. Of a slot that was leaving, it counts for none either.

        Args:
            slot: which; one that is not known, or had no trial, is forgotten.
            reason: for the journal.
        """
        self._waiting.pop(slot, None)
        self._idle_since.pop(slot, None)
        self._warm.pop(slot, None)
        told = self._leaving.pop(slot, None)
        assignments = list(self._running.get(slot, {}).values())
        for assignment in assignments:
            if told is not None:
                self._give_back(slot, assignment, told)
                continue
            self._step_sizes.lost(assignment.trial, reason)
            self._losses.died(assignment.trial, reason, with_others=len(assignments) > 1)
            self._close(slot, assignment)
        self._running.pop(slot, None)

    def hung(self) -> list[tuple[str, str]]:
        """The slots that have shown no progress for too long, each with what to say of it.

        Each stays among them until it is `lost`. To be called after every exchange.
        """
        return [(slot, f"no progress for {duration(silence_s)}") for slot, silence_s in self._watchdog.look()]

    def vacate(self, slot: str, reason: str) -> None:
        """A slot's process will be ended from outside: it gets no other trial, and gives back those that it has.

        Each goes to another slot when its epoch is over, or when the process ends; neither counts as its failure.

        Args:
            slot: which.
            reason: for the journal.
        """
        if slot not in self._leaving:
            self._leaving[slot] = reason
            running = self._running.get(slot)
            if running:
                self._notify(f"{reason}: {plural(len(running), 'trial')} will go on in another one")

    def _take_leave(self, message: SlotMessage, leaving: Leaving) -> Reply | None:
        """A slot says that it must leave, or that it has left what it ran."""
        self.vacate(message.slot, leaving.reason)
        if not leaving.is_over:
            return None
        for assignment in list(self._running.get(message.slot, {}).values()):
            self._give_back(message.slot, assignment, leaving.reason)
        self._warm.pop(message.slot, None)
        return LEAVE

    def _give_back(self, slot: str, assignment: Assignment, reason: str) -> None:
        self._search.interrupted(assignment.trial, reason)
        self._close(slot, assignment)

    def set_aside(self) -> None:
        """Give up trials that have ended this process again and again, so that the others can go on."""
        self._losses.set_aside()
        self.flush()

    def _close(self, slot: str, assignment: Assignment) -> None:
        """Give the trial back to the search, whatever became of it."""
        trial = assignment.trial
        del self._running[slot][trial.trial_id]
        self._watchdog.over(slot, trial.trial_id)
        self._search.release(trial)
        if trial.state in ("PRUNED", "FAILED"):
            self._let_go(trial)

    def _let_go(self, trial: TrialRecord) -> None:
        """Have the checkpoints of a trial that is over deleted, once the journal is on the disk."""
        files = self._folder.trial(trial.trial_id)
        self._obsolete += [files.last, files.previous]


def _can_wait(message: SlotMessage) -> bool:
    """Whether the slot has nothing to do but to wait for the reply."""
    return isinstance(message.content, Ask) and not message.content.num_running


def _differs(trial: TrialRecord, report: EpochReport) -> None:
    """Log that an epoch that was trained again came out otherwise; the journal keeps what it has."""
    known = trial.reports[report.epoch]
    if known.value != report.value:
        logger.warning(
            "trial %s of %s: epoch %d was trained again and gave %r, not %r; a GPU may add in another order",
            trial.trial_id,
            trial.arm,
            report.epoch,
            report.value,
            known.value,
        )
