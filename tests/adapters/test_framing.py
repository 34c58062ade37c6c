"""Framing as values: however a stream is cut into reads, the frames are the same."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.framing import (
    DelimiterFraming,
    FixedFraming,
    FrameSplitter,
    Framing,
    LengthFraming,
    StxEtxFraming,
    unescaped,
)
from core.errors import InvalidInput, Unavailable


def encoded(framing: Framing, frames: Sequence[bytes]) -> bytes:
    if isinstance(framing, LengthFraming):
        return b"".join(len(frame).to_bytes(framing.length_bytes, "big") + frame for frame in frames)
    if isinstance(framing, DelimiterFraming):
        return b"".join(frame + unescaped(framing.delimiter) for frame in frames)
    return b"".join(frames) if isinstance(framing, FixedFraming) else b"".join(b"\x02" + frame + b"\x03\r\n" for frame in frames)


FRAMINGS: list[Framing] = [
    LengthFraming(),
    LengthFraming(length_bytes=2, max_bytes=40_000),
    DelimiterFraming(),
    DelimiterFraming(delimiter="\\r\\n"),
    DelimiterFraming(delimiter="||"),
    FixedFraming(size=7),
    StxEtxFraming(),
]


@given(
    st.sampled_from(FRAMINGS),
    st.lists(st.text("abcä文 {}", min_size=1, max_size=30).filter(lambda text: bool(text.strip())), max_size=8),
    st.integers(1, 20),
)
def test_however_the_bytes_are_cut_the_frames_are_the_same(framing: Framing, texts: list[str], step: int) -> None:
    frames = [text.encode() for text in texts]
    if isinstance(framing, FixedFraming):
        frames = [frame.ljust(7, b"_")[:7] for frame in frames]
    stream = encoded(framing, frames)
    splitter = FrameSplitter(framing)
    found: list[bytes] = []
    for start in range(0, len(stream), step):
        splitter.feed(stream[start : start + step])
        found.extend(splitter.frames())
    splitter.end()
    assert found == frames


@given(st.sampled_from(FRAMINGS), st.binary(max_size=200), st.integers(1, 50))
def test_no_bytes_break_the_splitter_otherwise_than_by_unavailable(framing: Framing, stream: bytes, step: int) -> None:
    splitter = FrameSplitter(framing)
    try:
        for start in range(0, len(stream), step):
            splitter.feed(stream[start : start + step])
            for frame in splitter.frames():
                assert len(frame) <= len(stream)
        splitter.end()
    except Unavailable:
        return  # the feed is at fault, said in one line


@pytest.mark.parametrize(
    ("framing", "stream", "message"),
    [
        (LengthFraming(), b"\x00\x00\x00\x00", "frame of 0 bytes"),
        (LengthFraming(max_bytes=100), b"\x00\x00\x00\x65", "frame of 101 bytes; 1 to 100"),
        (LengthFraming(), b"ERR too many subscribers\n", "refuses: ERR too many subscribers"),
        (LengthFraming(), b"ERR too many", "refuses: ERR too many"),
        (LengthFraming(length_bytes=2), b"ERR\n", "refuses: ERR"),
        (LengthFraming(length_bytes=2, max_bytes=100), b"ERR no\r\n", "refuses: ERR no"),
        (LengthFraming(), b"\x00\x00\x00\x05ab", "middle of a frame, after 6 bytes"),
        (DelimiterFraming(), b"ERR: bad\x07 cursor\nmore", "refuses: ERR: bad  cursor"),
        (DelimiterFraming(delimiter=";"), b"ERR bad;", "refuses: ERR bad"),
        (DelimiterFraming(max_bytes=5), b"123456\n", "more than 5 bytes"),
        (DelimiterFraming(), b"abc", "middle of a frame"),
        (FixedFraming(size=50), b"ERR bad\n", "refuses: ERR bad"),
        (FixedFraming(size=5), b"1234", "middle of a frame"),
        (StxEtxFraming(), b"abc", "byte 0x61 where a frame should begin"),
        (StxEtxFraming(), b"ERR bad", "refuses: ERR bad"),
        (StxEtxFraming(max_bytes=3), b"\x021234\x03", "more than 3 bytes"),
    ],
)
def test_what_is_no_frame_is_unavailable_after_the_frames_before_it(framing: Framing, stream: bytes, message: str) -> None:
    good = encoded(framing, [b"x" * (framing.size if isinstance(framing, FixedFraming) else 3)])
    splitter = FrameSplitter(framing)
    assert _frames(splitter, good) == 1
    splitter.feed(stream)
    seen: list[bytes] = []

    def drain() -> None:
        seen.extend(splitter.frames())
        splitter.end()

    with pytest.raises(Unavailable, match=message):
        drain()


def test_a_record_that_only_begins_like_a_refusal_is_a_record() -> None:
    splitter = FrameSplitter(DelimiterFraming())
    splitter.feed(b"ERRICSSON,1\n\nERR_2,2\n")
    assert list(splitter.frames()) == [b"ERRICSSON,1", b"ERR_2,2"]
    twos = FrameSplitter(LengthFraming(length_bytes=2, max_bytes=40_000))
    twos.feed(b"ERR \n" + b"x" * (0x4552 - 3))
    assert [len(frame) for frame in twos.frames()] == [0x4552]


def _frames(splitter: FrameSplitter, data: bytes) -> int:
    splitter.feed(data)
    return len(list(splitter.frames()))


def test_escapes() -> None:
    assert unescaped("a\\n\\r\\t\\0\\x1e\\\\文") == b"a\n\r\t\0\x1e\\" + "文".encode()
    for broken in ("\\q", "\\x1", "\\"):
        with pytest.raises(InvalidInput, match="unknown escape"):
            unescaped(broken)
