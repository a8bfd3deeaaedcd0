"""The mailbox between slots and the driver: messages come in order and none is lost, a part at a time."""

from __future__ import annotations

import asyncio
import doctest

from tunekit.execution import mailbox
from tunekit.execution.mailbox import Mailbox


def test_the_examples_of_the_docstrings_are_right() -> None:
    assert doctest.testmod(mailbox).failed == 0


def test_many_messages_come_a_part_at_a_time_in_their_order_and_the_rest_at_once() -> None:
    sent = [(f"slot-{number % 3}", str(number)) for number in range(30)]

    async def run() -> list[list[tuple[str, str]]]:
        box = Mailbox()
        for slot, text in sent:
            await box.post(slot, text)
        parts = []
        while part := await box.exchange([], 0.0):
            parts.append(part)
        return parts

    parts = asyncio.run(run())
    assert [message for part in parts for message in part] == sent
    assert len(parts) > 1 and all(part == parts[0] or len(part) <= len(parts[0]) for part in parts)


def test_a_slot_gets_the_reply_that_is_for_it_and_one_that_waits_for_none_is_no_error() -> None:
    async def run() -> tuple[str, str]:
        box = Mailbox()
        asked = [asyncio.ensure_future(box.ask(slot, "what?")) for slot in ("a", "b")]
        await asyncio.sleep(0)
        assert [slot for slot, _ in await box.exchange([], 1.0)] == ["a", "b"]
        await box.exchange([("b", "for b"), ("gone", "for nobody"), ("a", "for a")], 0.0)
        return await asked[0], await asked[1]

    assert asyncio.run(run()) == ("for a", "for b")
