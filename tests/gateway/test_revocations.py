"""Which sessions are revoked: a script of events under a clock of the test's own."""

from collections.abc import Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import last_id_at
from core.sessions import Revocation, Scope
from gateway.revocations import Revocations


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


def entry(
    name: str, *, scope: Scope = "session", last: str | None = None, until_ms: int = 2_000_000, number: int = 0
) -> Revocation:
    return Revocation(scope, name, name if last is None else last, until_ms, 1_000_000, "li", number)


def known(clock: Clock, *entries: Revocation, max_entries: int = 100) -> Revocations:
    revocations = Revocations(max_entries=max_entries, now_ms=clock)
    revocations.revoke(entries)
    return revocations


def test_one_session_ends_and_no_other() -> None:
    revocations = known(Clock(), entry("s2"))
    assert revocations.is_revoked("s2", "shop", "till")
    assert not any(revocations.is_revoked(each, "shop", "till") for each in ("s1", "s3", ""))


@pytest.mark.parametrize("scope", ["app", "device"])
def test_all_of_an_app_or_device_end_up_to_the_moment(scope: Scope) -> None:
    revocations = known(Clock(), entry("x1", scope=scope, last=last_id_at(1000)))
    mine = {"app": "x1"} if scope == "app" else {"app": "shop", "device": "x1"}
    assert revocations.is_revoked(last_id_at(999), **mine)
    assert revocations.is_revoked(last_id_at(1000), **mine)
    assert not revocations.is_revoked(last_id_at(1001), **mine)  # a new token, got after it
    assert not revocations.is_revoked(last_id_at(999), "another", "another")
    for foreign in ("", "0", "550e8400-e29b-11d4-a716-446655440000"):  # an API key has no session, a third party's has another form
        assert not revocations.is_revoked(foreign, **mine)


def test_what_is_told_again_or_out_of_order_changes_nothing() -> None:
    revocations = known(Clock(), entry("shop", scope="app", last=last_id_at(2000), until_ms=3_000_000))
    told: list[Sequence[Revocation]] = []
    revocations.on_revoked(told.append)
    revocations.revoke([entry("shop", scope="app", last=last_id_at(1000))])
    assert revocations.is_revoked(last_id_at(2000), "shop")
    assert told == []
    revocations.revoke([entry("s1")])
    revocations.revoke([entry("s1")])
    assert told == [[entry("s1")]]


def test_a_callback_already_finds_the_session_revoked() -> None:
    revocations = Revocations(now_ms=Clock())
    found: list[bool] = []
    revocations.on_revoked(lambda news: found.extend(revocations.is_revoked(each.name) for each in news))
    revocations.revoke([entry("s1"), entry("s2")])
    assert found == [True, True]


def test_what_has_lost_its_meaning_is_dropped() -> None:
    clock = Clock()
    revocations = known(
        clock,
        entry("s1"),
        entry("s2", until_ms=1_500_000),
        entry("shop", scope="app", last="s", until_ms=1_500_000),
        entry("s0", until_ms=1),
    )
    assert len(revocations) == 3
    clock.now_ms = 1_500_000
    revocations.drop_expired()
    assert len(revocations) == 1
    assert revocations.is_revoked("s1")


def test_past_its_bound_the_older_sessions_all_count_as_revoked() -> None:
    clock = Clock()
    revocations = known(clock, *(entry(last_id_at(n)) for n in range(1, 12)), max_entries=10)
    assert len(revocations) == 5
    assert all(revocations.is_revoked(last_id_at(n)) for n in range(1, 12))
    assert not revocations.is_revoked(last_id_at(12))
    clock.now_ms = 2_000_000  # and until then only
    revocations.drop_expired()
    assert not any(revocations.is_revoked(last_id_at(n)) for n in range(1, 12))


_ENTRIES = st.builds(
    lambda scope, name, at_ms: entry(f"x{name}" if scope != "session" else last_id_at(at_ms), scope=scope, last=last_id_at(at_ms)),
    st.sampled_from(get_args(Scope)),
    st.integers(0, 40),
    st.integers(1, 60),
)


@given(batches=st.lists(st.lists(_ENTRIES, max_size=8), max_size=12))
def test_it_never_grows_past_its_bound_and_never_forgets(batches: list[list[Revocation]]) -> None:
    revocations = Revocations(max_entries=9, now_ms=Clock())
    for batch in batches:
        revocations.revoke(batch)
        assert len(revocations) <= 9
    for each in (each for batch in batches for each in batch):
        app, device = (each.name if each.scope == "app" else ""), (each.name if each.scope == "device" else "")
        assert revocations.is_revoked(each.last, app, device)
