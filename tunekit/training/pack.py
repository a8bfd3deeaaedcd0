"""Trials of one worker that advance together: a member comes and goes at any time, and no other notices.

A member is a trial's stream of messages (:func:`tunekit.training.trial_loop.perform`). Members take turns, one message
at a time, in the order in which they joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tunekit.training.caches import WorkerCache, choose_device
from tunekit.training.messages import Reported, Started, TrialMessage
from tunekit.training.pack_size import PackSetting, PackSize, tokens_of_update
from tunekit.training.trial_loop import TrialMessages, perform
from tunekit.trial import Locations, TrialConfig


@dataclass
class _Member:
    """One trial of the pack."""

    config: TrialConfig
    messages: TrialMessages
    tokens: float | None = None
    """Of its mean update; known once it has started."""
    is_asked: bool = False
    """It has said a `Reported`, and waits for the answer."""


class Pack:
    """Trials of one worker that advance together.

    Args:
        cache: what the worker keeps from one trial to the next.
    """

    def __init__(self, cache: WorkerCache) -> None:
        self._cache = cache
        self._members: dict[str, _Member] = {}
        self._sizes: dict[tuple[str, PackSetting], PackSize] = {}
        self._size: PackSize | None = None

    def __len__(self) -> int:
        return len(self._members)

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
        folder: Path,
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
        device = choose_device(locations).type
        self._size = self._sizes.setdefault((device, pack), PackSize(pack, on_gpu=device == "cuda"))
        messages = perform(
            config,
            folder=folder,
            locations=locations,
            cache=self._cache,
            test=test,
            tokens_per_step=tokens_per_step,
        )
        self._members[config.trial_id] = _Member(config, messages)

    def advance(self) -> list[TrialMessage]:
        """Compute until a member has something to say; one that has said a `Reported` waits for its answer.

        A member whose message is the last is gone, and so is one that raises.

        Raises:
            TunekitError: every other trial would meet the same: bad input or storage.
        """
        trial_id = self._next()
        member = self._members.pop(trial_id)
        message = next(member.messages)
        if message.is_last:
            member.messages.close()
        else:
            member.is_asked = isinstance(message, Reported)
            if isinstance(message, Started):
                member.tokens = _tokens_of(member.config, message)
            self._members[trial_id] = member  # behind the others
        return [message]

    def _next(self) -> str:
        """Whose turn it is: first those that have not started, since only they can say what else there is room for."""
        free = [name for name, member in self._members.items() if not member.is_asked]
        return next((name for name in free if self._members[name].tokens is None), free[0])

    def answer(self, trial_id: str, goes_on: bool) -> None:
        """The driver's answer to a `Reported`; False: the member stays as it is and is gone."""
        if goes_on:
            self._members[trial_id].is_asked = False
        else:
            self._members.pop(trial_id).messages.close()

    def close(self) -> None:
        """Let all members go, each as it stands."""
        while self._members:
            self._members.popitem()[1].messages.close()


def _tokens_of(config: TrialConfig, started: Started) -> float:
    length = config.options.get("prompt_length") if isinstance(config.options, Mapping) else None
    return tokens_of_update(
        batch_size=config.training.batch_size,
        num_tokens=started.facts.num_train_tokens,
        num_rows=started.facts.num_train_rows,
        prompt_length=length if isinstance(length, int) else 0,
    )
