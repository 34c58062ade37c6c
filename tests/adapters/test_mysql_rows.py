"""Splitting of result set rows, piece by piece, however the bytes arrive."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mysql_rows import RowStream, split_row
from core.errors import Unavailable

ROWS = st.lists(st.tuples(st.integers(-9, 2**40), st.none() | st.text(max_size=300), st.none() | st.binary(max_size=70_000)))
EOF = b"\xfe\0\0\x02\0"


class Pieces:
    """A socket's reader that gives what has come, in pieces of the test's choice."""

    def __init__(self, data: bytes, size: int) -> None:
        self._pieces = [data[at : at + size] for at in range(0, len(data), size)]

    async def read(self, limit: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def packet(body: bytes, number: int = 0) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number & 255]) + body


def encoded(value: Any) -> bytes:
    if value is None:
        return b"\xfb"
    raw = value if isinstance(value, bytes) else str(value).encode()
    if len(raw) < 251:
        return bytes([len(raw)]) + raw
    return (b"\xfc" + len(raw).to_bytes(2, "little") if len(raw) < 65536 else b"\xfd" + len(raw).to_bytes(3, "little")) + raw


def stream(data: bytes, size: int) -> tuple[RowStream, SimpleNamespace]:
    result = SimpleNamespace(converters=[("ascii", int), ("utf8", None), (None, None)], unbuffered_active=True, connection=object())
    return RowStream(SimpleNamespace(_reader=Pieces(data, size)), SimpleNamespace(_result=result)), result


@given(ROWS, st.integers(1, 5000), st.integers(1, 7))
async def test_rows_come_whole_and_in_order_whatever_the_pieces(rows: list[Any], size: int, count: int) -> None:
    data = b"".join(packet(b"".join(map(encoded, row)), number) for number, row in enumerate(rows)) + packet(EOF)
    reading, result = stream(data, size)
    found: list[tuple[Any, ...]] = []
    while batch := await reading.batch(count):
        assert len(batch) <= count
        found += map(tuple, batch)
    assert found == rows
    assert result.unbuffered_active is False


async def test_an_error_of_the_server_in_the_middle_is_raised() -> None:
    from pymysql.err import OperationalError

    row = packet(b"".join(map(encoded, (1, "a", b""))))
    reading, result = stream(row + packet(b"\xff\x25\x05#70100Query execution was interrupted"), 10)
    assert await reading.batch(1) == [[1, "a", b""]]
    with pytest.raises(OperationalError, match="interrupted"):
        await reading.batch(1)
    assert result.unbuffered_active is False


async def test_a_socket_that_ends_too_early_is_a_lost_connection() -> None:
    reading, _ = stream(packet(b"".join(map(encoded, (1, "a", b""))))[:-1], 4)
    with pytest.raises(ConnectionResetError):
        await reading.batch(5)


@pytest.mark.parametrize("row", [b"", b"\x01", b"\x011\xff"])
def test_a_row_that_is_none_is_refused(row: bytes) -> None:
    with pytest.raises(Unavailable, match="cut short"):
        split_row(row, 0, [int, bytes.decode])
