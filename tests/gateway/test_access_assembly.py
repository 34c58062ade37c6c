"""The means of a snapshot together, with their real parts; and what outlives a reload."""

from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.replays_memory import MemoryReplays
from config.policies import Policies
from core.errors import Unauthenticated
from core.supervise import Tasks
from gateway.access.assembly import AccessParts, Authentication
from gateway.access.dpop import DpopProofs
from gateway.access.key_sets import KeySets
from gateway.pipe import Pipe, run
from gateway.revocations import Revocations
from gateway.stage import Request, Response
from gateway.tokens import Tokens
from registry.snapshot import Snapshot
from tests.fuzz.access import TARGETS
from tests.gateway.access_desk import (
    JKT,
    SCOPES,
    SHOP_KEY,
    SHOP_SECRET,
    app_token,
    credentials,
    document,
    issuer_token,
    request_of,
    snapshot_of,
    with_token,
)

_DEFAULT = Policies().authenticate
_HELD = credentials()  # once: those made a second later end a second later, and are others


@pytest.fixture
async def parts() -> AsyncIterator[AccessParts]:
    tasks = Tasks(lambda name, error: None)
    replays = MemoryReplays()
    yield AccessParts(KeySets(tasks), DpopProofs(replays), replays, Revocations())
    await tasks.close()


async def _who(request: Request) -> Response:
    return Response(200, body=f"{request.identity.app} by {request.identity.means}".encode())


async def _asked(authentication: Authentication, request: Request, kinds: Any = _DEFAULT) -> str:
    try:
        return (await run(Pipe("test", [authentication.stage(kinds)], handler=_who), request)).body.decode()
    except Unauthenticated as error:
        return error.specific_code


async def test_a_route_takes_all_means_unless_it_says_which(parts: AccessParts) -> None:
    snapshot = snapshot_of()
    authentication = Authentication(snapshot, Tokens(snapshot), parts)
    key = {"x-api-key": f"{SHOP_KEY}.{SHOP_SECRET}"}
    for token in (Tokens(snapshot).make("shop", SHOP_KEY, SCOPES), app_token(), issuer_token()):
        assert await _asked(authentication, with_token(token)) == "shop by bearer"
        assert await _asked(authentication, with_token(token), ("key",)) == "token_missing"
    assert await _asked(authentication, request_of("GET", "/", headers=key)) == "shop by key"
    assert await _asked(authentication, request_of("GET", "/", headers=key), ("bearer", "certificate")) == "token_missing"
    assert (await _asked(authentication, request_of("GET", "/", headers={"x-ca-key": SHOP_KEY}))).startswith("signature_")
    assert (await _asked(authentication, request_of("GET", "/", headers={"signature-input": "x"}))).startswith("signature_")
    bound = Tokens(snapshot).make("shop", SHOP_KEY, SCOPES, jkt=JKT)
    assert await _asked(authentication, with_token(bound, "DPoP")) == "dpop_invalid"  # the real proofs are asked


async def test_routes_that_take_the_same_share_a_stage(parts: AccessParts) -> None:
    authentication = Authentication(snapshot_of(), Tokens(snapshot_of()), parts)
    assert authentication.stage(_DEFAULT) is authentication.stage(list(_DEFAULT))
    assert authentication.stage(("bearer", "key")) is not authentication.stage(("key", "bearer"))


def _verified_by_signature(authentication: Authentication, token: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the signature of the token was checked for this request."""
    seen: list[bytes] = []
    whole = Tokens.read

    def read(self: Tokens, given: Any, now: float) -> Any:
        seen.append(given.signed)
        return whole(self, given, now)

    with monkeypatch.context() as patch:
        patch.setattr(Tokens, "read", read)
        authentication.stage(_DEFAULT).on_request(with_token(token))
    return bool(seen)


def _other_app() -> Snapshot:
    declared = document()
    declared["apps"]["late"] = {"plan": "gold"}
    return snapshot_of(declared, _HELD)


@pytest.mark.parametrize(
    ("changed", "is_kept"),
    [
        (lambda: snapshot_of(held=_HELD), True),
        (lambda: replace(snapshot_of(held=_HELD), revision=2), True),
        (lambda: snapshot_of(document() | {"plans": {"gold": {"per_s": 99, "burst": 9}}}, _HELD), True),
        (_other_app, False),
        (lambda: snapshot_of(held={**_HELD, "ak_new": _HELD["ak_carried"]}), False),
        (
            lambda: replace(
                snapshot_of(held=_HELD), verification_keys=MappingProxyType({**snapshot_of().verification_keys, "x": _KEY})
            ),
            False,
        ),
    ],
)
async def test_a_reload_forgets_verified_tokens_only_if_what_they_rest_on_has_changed(
    parts: AccessParts, changed: Any, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = snapshot_of(held=_HELD)
    token = Tokens(first).make("shop", SHOP_KEY, SCOPES)
    assert _verified_by_signature(Authentication(first, Tokens(first), parts), token, monkeypatch)
    second = changed()
    assert _verified_by_signature(Authentication(second, Tokens(second), parts), token, monkeypatch) is not is_kept


_KEY: Any = next(iter(snapshot_of().verification_keys.values()))


async def test_a_revoked_key_ends_its_tokens_with_the_reload(parts: AccessParts) -> None:
    first = snapshot_of()
    token = Tokens(first).make("shop", SHOP_KEY, SCOPES)
    assert await _asked(Authentication(first, Tokens(first), parts), with_token(token)) == "shop by bearer"
    second = snapshot_of(held={key: each for key, each in credentials().items() if key != SHOP_KEY})
    after = Authentication(second, Tokens(second), parts)
    assert await _asked(after, with_token(token)) == "token_revoked"
    assert await _asked(after, with_token(app_token())) == "token_invalid"


async def test_ten_thousand_apps_that_stay_the_same_forget_no_token(parts: AccessParts) -> None:
    declared = document()
    declared["apps"] |= {f"app-{number}": {"plan": "gold", "scopes": SCOPES} for number in range(10_000)}
    snapshots = [snapshot_of(declared, _HELD) for _ in range(2)]
    assert parts.memory.of(snapshots[0], "zhiyun") is parts.memory.of(snapshots[1], "zhiyun")


@given(st.sampled_from(sorted(TARGETS)), st.one_of(st.binary(max_size=400), st.text(max_size=100).map(str.encode)))
def test_the_fuzz_targets_find_nothing(target: str, data: bytes) -> None:
    TARGETS[target](data)
