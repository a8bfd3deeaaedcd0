"""Trials of one worker that advance together: a member comes and goes at any time, and no other notices.

A member is a trial that asks for its work instead of doing it (:func:`tunekit.training.trial_loop.begin`). Each round
all members make one update, or predict a split, together (`tunekit.training.joint`). What they say is told in the order
in which they joined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tunekit import methods
from tunekit.schema import canonical_json
from tunekit.storage import AnyPath
from tunekit.training.caches import WorkerCache, choose_device
from tunekit.training.device import limit_memory, peak_memory_fraction
from tunekit.training.joint import Done, Work, answered, carry_out
from tunekit.training.learner import Questions, Update
from tunekit.training.messages import Reported, Started, TrialMessage
from tunekit.training.pack_size import PackSetting, PackSize, tokens_of_update
from tunekit.training.trial_loop import Place, Trial, begin
from tunekit.training.updates import Cost, nothing
from tunekit.trial import Locations, TrialConfig


@dataclass
class _Member:
    """One trial of the pack."""

    config: TrialConfig
    trial: Trial
    tokens: float | None = None
    """Of its mean update; known once it has started."""
    is_asked: bool = False
    """It has said a `Reported`, and waits for the answer."""
    work: Work | None = None
    """What it asks for and has not got yet."""
    done: Done | None = None
    """What came of that."""

    def proceed(self) -> TrialMessage | None:
        """Let it go on to its next message, or to the next thing that it asks for (None then).

        Raises:
            TunekitError: every other trial would meet the same.
        """
        done, self.work, self.done = self.done, None, None
        said = next(self.trial) if done is None else answered(self.trial, done)
        if isinstance(said, Update | Questions):
            self.work = said
            return None
        return said


class Pack:
    """Trials of one worker that advance together.

    Args:
        cache: what the worker keeps from one trial to the next.
        gpu_share: of the GPU's memory, what this worker may take where several share one, above 0 to 1.

    Attributes:
        on_pass: called after each pass through a model.
    """

    def __init__(self, cache: WorkerCache, *, gpu_share: float = 1.0) -> None:
        self._cache, self._gpu_share = cache, gpu_share
        self._device = torch.device("cpu")
        """Of the members."""
        self.on_pass: Callable[[], None] = nothing
        self._members: dict[str, _Member] = {}
        self._sizes: dict[str, PackSize] = {}
        """By what decides how long an update takes."""
        self._size: PackSize | None = None

    def __len__(self) -> int:
        return len(self._members)

    @property
    def warm(self) -> tuple[str, ...]:
        """Keys of the tasks and backbones that the worker has loaded (:mod:`tunekit.training.warm_keys`)."""
        return tuple(self._cache.warm)

    @property
    def room(self) -> int:
        """How many more members it could take now; none while one has yet to say how large its updates are."""
        if not self._members or self._size is None:
            return 1
        tokens = [member.tokens for member in self._members.values() if member.tokens is not None]
        if len(tokens) < len(self._members):
            return 0
        return max(0, self._size.limit(tokens) - len(self._members))

    def add(
        self,
        config: TrialConfig,
        *,
        folder: AnyPath,
        locations: Locations,
        tokens_per_step: int,
        test: bool,
        pack: PackSetting = "off",
    ) -> None:
        """A new member; the arguments are those of `perform`. It may be packed with those that are there.

        Args:
            config: the trial.
            folder: the trial's own.
            locations: data, backbone and device.
            tokens_per_step: padded tokens computed at once.
            test: also score a COMPLETE trial on test.
            pack: how many members there may be (``resources.pack``).

        Raises:
            ConfigError: there is no such device.
        """
        self._device = choose_device(locations)
        limit_memory(self._device, self._gpu_share)
        alike = canonical_json([str(self._device), pack, config.method, config.backbone])
        self._size = self._sizes.setdefault(alike, PackSize(pack, on_gpu=self._device.type == "cuda"))
        place = Place(folder=folder, locations=locations, cache=self._cache, tokens_per_step=tokens_per_step)
        self._members[config.trial_id] = _Member(config, begin(config, place, test=test))

    def advance(self) -> list[TrialMessage]:
        """Compute until a member has something to say; one that has said a `Reported` waits for its answer.

        A member whose message is the last is gone, and so is one that raises.

        Raises:
            TunekitError: every other trial would meet the same: bad input or storage.
            DeviceLost: the GPU takes no work any more.
        """
        while True:
            messages = [message for name in list(self._members) if (message := self._proceed(name)) is not None]
            if messages:
                return messages
            self._work()

    def _proceed(self, trial_id: str) -> TrialMessage | None:
        """What a member says now, if anything."""
        member = self._members[trial_id]
        if member.is_asked or (member.work is not None and member.done is None):
            return None
        try:
            message = member.proceed()
        except BaseException:
            del self._members[trial_id]
            raise
        if message is not None and message.is_last:
            del self._members[trial_id]
            member.trial.close()
        member.is_asked = isinstance(message, Reported)
        if isinstance(message, Started):
            member.tokens = _tokens_of(member.config, message)
        return message

    def _work(self) -> None:
        """Do what the members ask for: predictions first, so that those who make them catch up with the others."""
        asking = [member for member in self._members.values() if member.work is not None]
        kind = Questions if any(isinstance(member.work, Questions) for member in asking) else Update
        chosen = [(member, member.work) for member in asking if isinstance(member.work, kind)]
        cost = Cost(on_pass=self.on_pass)
        for (member, _), done in zip(chosen, carry_out([work for _, work in chosen], cost), strict=True):
            member.done = done
        if kind is Update:
            self._learn_size(len(chosen), cost)

    def _learn_size(self, num_members: int, cost: Cost) -> None:
        """Tell the planner how a joint update went."""
        assert self._size is not None
        if cost.ran_out_of_memory:
            self._size.ran_out_of_memory(num_members)
        if self._size.is_measured:  # to ask how full a GPU is takes time
            self._size.observe(
                num_members=num_members,
                num_tokens=cost.num_tokens,
                seconds=cost.seconds,
                peak_memory_fraction=peak_memory_fraction(self._device),
            )

    def answer(self, trial_id: str, goes_on: bool) -> None:
        """The driver's answer to a `Reported`; False: the member stays as it is and is gone."""
        if goes_on:
            self._members[trial_id].is_asked = False
        else:
            self._members.pop(trial_id).trial.close()

    def close(self) -> None:
        """Let all members go, each as it stands."""
        while self._members:
            self._members.popitem()[1].trial.close()


def _tokens_of(config: TrialConfig, started: Started) -> float:
    return tokens_of_update(
        batch_size=config.training.batch_size,
        num_tokens=started.facts.num_train_tokens,
        num_rows=started.facts.num_train_rows,
        prompt_length=methods.input_positions(config),
    )
