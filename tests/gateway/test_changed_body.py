"""What stages that change bodies have in common."""

import threading
from inspect import isawaitable

import pytest

from gateway.changed_body import LARGE_BYTES, changed_headers, send_understood, worked
from gateway.http1.message import made_request


def test_header_fields_of_the_old_bytes_go() -> None:
    old = [("ETag", '"1"'), ("Content-Length", "5"), ("content-md5", "x"), ("Repr-Digest", "x"), ("Age", "1")]
    assert changed_headers(old) == [("ETag", 'W/"1"'), ("Age", "1")]
    assert changed_headers([("etag", 'W/"1"')]) == [("etag", 'W/"1"')]


async def test_large_work_is_done_in_a_thread_and_small_work_at_once() -> None:
    places: list[int] = []
    assert worked(LARGE_BYTES, threading.get_ident, places.append) is None
    assert places == [threading.get_ident()]
    waiting = worked(LARGE_BYTES + 1, threading.get_ident, places.append)
    assert isawaitable(waiting)
    await waiting
    assert len(places) == 2
    assert places[1] != threading.get_ident()


async def test_a_failure_in_a_thread_comes_back() -> None:
    waiting = worked(LARGE_BYTES + 1, lambda: 1 // 0, lambda _: None)
    assert isawaitable(waiting)
    with pytest.raises(ZeroDivisionError):
        await waiting


def test_a_body_that_was_understood_as_it_stands_is_left() -> None:
    request = made_request("POST", "/", headers={"content-type": "application/x+json"}, body=b"{}")
    send_understood(request, b"{}", b"{}")
    assert (request.added, request.removed) == (None, None)
    send_understood(request, b"{ }", b"{}")
    assert request.content == b"{}"
    assert request.added == [b"Content-Type: application/x+json\r\n"]
    assert request.removed is not None
    assert {b"content-digest", b"content-length"} <= request.removed
