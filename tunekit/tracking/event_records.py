"""The records of TensorBoard's event files, byte by byte: what tests read back with TensorBoard's own reader.

A record is a TFRecord (length, masked CRC-32C of it, data, masked CRC-32C of that); its data is a protocol buffer
``Event`` of ``tensorboard/compat/proto/event.proto``. Only scalars and the HPARAMS tab's messages
(``tensorboard/plugins/hparams``) are needed, whose form is fixed. tensorboardX has them too, but importing any part of
it imports torch and boto3 where they are installed: seconds, and hundreds of megabytes in a driver that needs neither.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

_MASK = 0xA282EAD8
_PLUGIN = "hparams"


def _table() -> tuple[int, ...]:
    """Remainders of CRC-32C (RFC 3720), whose polynomial is 0x82F63B78 with its bits in reverse."""
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        found.append(value)
    return tuple(found)


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """CRC-32C of `data`, masked as TFRecords have it.

    >>> hex(masked_crc(b"123456789"))
    '0xc78ab0e5'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """`data` as a TFRecord."""
    length = struct.pack("<Q", len(data))
    return b"%b%b%b%b" % (length, struct.pack("<I", masked_crc(length)), data, struct.pack("<I", masked_crc(data)))


# -- fields of a protocol buffer, by number


def _varint(value: int) -> bytes:
    pieces = bytearray()
    while value > 0x7F:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    pieces.append(value)
    return bytes(pieces)


def _whole(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _inner(number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


# -- events


def head(time: float) -> bytes:
    """The first record of every file."""
    return record(_double(1, time) + _inner(3, "brain.Event:2"))


def scalars(time: float, step: int, values: Mapping[str, float]) -> bytes:
    """A record of values by their tags; TensorBoard keeps them in 32 bits."""
    pieces = (_inner(1, _inner(1, tag) + b"\x15" + struct.pack("<f", value)) for tag, value in values.items())
    return record(_double(1, time) + _whole(2, step) + _inner(5, b"".join(pieces)))


def _for_tab(time: float, name: str, number: int, content: bytes) -> bytes:
    """A record for the HPARAMS tab, which reads it from the metadata of a value without content."""
    plugin = _inner(1, _inner(1, _PLUGIN) + _inner(2, _inner(number, content)))
    value = _inner(1, f"_hparams_/{name}") + _inner(9, plugin)
    return record(_double(1, time) + _inner(5, _inner(1, value)))


TEXT, TRUTH, NUMBER = 1, 2, 3
"""Types of columns."""
SUCCESS, FAILURE = 1, 2
"""How a session ended."""


def experiment(time: float, columns: Mapping[str, int], tags: Iterable[str]) -> bytes:
    """What the tab shows of all sessions: settings with their types, and the tags of scalars."""
    infos = [_inner(4, _inner(1, name) + _whole(4, kind)) for name, kind in columns.items()]
    metrics = [_inner(5, _inner(1, _inner(2, tag))) for tag in tags]
    return _for_tab(time, "experiment", 2, b"".join(infos + metrics))


def session_start(time: float, settings: Mapping[str, str | bool | float]) -> bytes:
    """The settings of one session."""
    entries = (_inner(1, _inner(1, key) + _inner(2, _value(value))) for key, value in settings.items())
    return _for_tab(time, "session_start_info", 3, b"".join(entries) + _double(5, time))


def session_end(time: float, status: int) -> bytes:
    """How and when one ended."""
    return _for_tab(time, "session_end_info", 4, _whole(1, status) + _double(2, time))


def _value(value: str | bool | float) -> bytes:
    """A ``google.protobuf.Value``."""
    if isinstance(value, bool):
        return _whole(4, value)
    return _inner(3, value) if isinstance(value, str) else _double(2, float(value))
