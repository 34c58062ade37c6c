"""Bearer tokens of three origins: who is let in, and every way of using a token wrongly."""

import base64
import hashlib
import json
import time
from collections.abc import Awaitable
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import epoch_ms
from core.errors import Unauthenticated
from core.ids import last_id_at
from core.sessions import Revocation, Scope
from gateway.access.bearer import Bearer
from gateway.identity import Identity
from gateway.revocations import Revocations
from gateway.stage import Request
from gateway.tokens import Tokens
from tests.gateway.access_desk import (
    JKT,
    SCOPES,
    SHOP_KEY,
    SIGNING,
    app_token,
    bearer,
    identified,
    issuer_token,
    refusal,
    request_of,
    snapshot_of,
    with_token,
)


def _platform_token(**changed: Any) -> str:
    return Tokens(snapshot_of()).make("shop", SHOP_KEY, SCOPES, **changed)


class _Proofs:
    """The thumbprint that a proof would have; None for a request without one."""

    def __init__(self, jkt: str | None) -> None:
        self.jkt = jkt
        self.asked: list[str | None] = []

    def check(self, request: Request, *, token: str | None) -> str | Awaitable[str]:
        self.asked.append(token)
        if self.jkt is None:
            raise Unauthenticated("no proof", code="token_invalid")
        return self.jkt


class _LaterProofs(_Proofs):
    def check(self, request: Request, *, token: str | None) -> Awaitable[str]:
        async def later() -> str:
            return str(super(_LaterProofs, self).check(request, token=token))

        return later()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_tokens_of_every_origin_are_let_in(scheme: str) -> None:
    means = bearer()
    platform = identified(means, with_token(_platform_token(session="s1"), scheme))
    assert platform == Identity("shop", SHOP_KEY, frozenset(SCOPES), session="s1")
    assert identified(means, with_token(app_token(), scheme)) == Identity("shop", SHOP_KEY, None, session="j1")
    assert identified(means, with_token(issuer_token(), scheme)) == Identity("shop", "", frozenset({"customers:read"}))


@pytest.mark.parametrize(
    ("authorization", "is_used"),
    [
        ("", False),
        ("Bearer", False),
        ("Basic YTpi", False),
        ("BearerX x", False),
        ("Bearer x", True),
        ("dPoP x", True),
        ("Token x", False),
    ],
)
def test_it_is_used_where_the_scheme_is_its_own(authorization: str, is_used: bool) -> None:
    request = request_of("GET", "/", headers={"authorization": authorization})
    assert bearer().is_used(request) is is_used
    assert not bearer().needs_body(request)


def test_a_token_is_verified_once_and_never_outlives_its_expiry() -> None:
    clock = [time.time()]
    means = bearer(now=lambda: clock[0])
    token = _platform_token(lifetime_s=60)
    first = identified(means, with_token(token))
    assert identified(means, with_token(token)) is first  # the memo's own
    clock[0] += 59
    assert identified(means, with_token(token)) is first
    clock[0] += 2
    for _ in range(2):
        assert refusal(means, with_token(token)) == "token_expired"


def test_a_revoked_session_ends_at_the_next_request() -> None:
    revoked = Revocations()
    means = bearer(revocations=revoked)
    tokens = [_platform_token(session="s1"), app_token(jti="s1"), issuer_token(jti="s1")]
    other = _platform_token(session="s2")
    for token in (*tokens, other):
        identified(means, with_token(token))
    revoked.revoke([_revocation("session", "s1")])
    assert [refusal(means, with_token(token)) for token in tokens] == ["token_revoked"] * 3
    assert refusal(means, with_token(other)) == "let in"
    assert refusal(bearer(revocations=revoked), with_token(tokens[0])) == "token_revoked"


def test_a_token_that_opened_a_tunnel_holds_until_it_ends_or_is_revoked() -> None:
    clock, revoked = [time.time()], Revocations()
    means = bearer(now=lambda: clock[0], revocations=revoked)
    request = with_token(_platform_token(lifetime_s=60, session="s1"))
    assert clock[0] + 58 < means.holds_until(request) <= clock[0] + 61
    bound = with_token(_platform_token(jkt=JKT), "DPoP")
    assert means.holds_until(bound) > clock[0], "its proof was new once: it is not asked for again"
    revoked.revoke([_revocation("session", "s1")])
    for code in ("token_revoked", "token_expired"):
        with pytest.raises(Unauthenticated) as refused:
            means.holds_until(request)
        assert refused.value.specific_code == code
        clock[0] += 62


def test_all_sessions_of_an_app_end_with_its_own_tokens_and_an_issuers() -> None:
    revoked = Revocations()
    means = bearer(revocations=revoked)
    past = int(time.time()) - 5
    old = [_platform_token(), app_token(iat=past), app_token(iat=past, jti=None), issuer_token(iat=past), issuer_token(iat=None)]
    for token in old:
        identified(means, with_token(token))
    revoked.revoke([_revocation("app", "shop", last_id_at(epoch_ms()))])
    assert [refusal(means, with_token(token)) for token in old] == ["token_revoked"] * len(old)
    soon = int(time.time()) + 5
    for token in (app_token(iat=soon, exp=soon + 60), issuer_token(iat=soon)):
        assert refusal(means, with_token(token)) == "let in"


def _revocation(scope: Scope, name: str, last: str = "") -> Revocation:
    return Revocation(scope, name, last, epoch_ms() + 60_000, epoch_ms(), "test")


def test_what_is_refused_is_not_remembered_and_long_tokens_are_verified_each_time() -> None:
    means = bearer()
    assert refusal(means, with_token("a.b.c")) == "token_invalid"
    assert len(means._memo) == 0
    long = app_token(pad="x" * 2000)
    assert identified(means, with_token(long)) == identified(means, with_token(long))
    assert len(means._memo) == 0


class TestBound:
    """Tokens that are of no use to a thief."""

    def test_a_bound_token_needs_a_proof_of_its_key_at_each_request(self) -> None:
        proofs = _Proofs(JKT)
        means = bearer(proofs=proofs)
        token = _platform_token(jkt=JKT)
        for _ in range(2):
            assert identified(means, with_token(token, "DPoP")).app == "shop"
        assert proofs.asked == [token, token]
        proofs.jkt = "another"
        assert refusal(means, with_token(token, "DPoP")) == "token_binding"
        proofs.jkt = None
        assert refusal(means, with_token(token, "DPoP")) == "token_invalid"

    @pytest.mark.parametrize("make", [_platform_token, app_token, issuer_token])
    def test_the_scheme_must_fit_the_token(self, make: Any) -> None:
        bound = {"jkt": JKT} if make is _platform_token else {"cnf": {"jkt": JKT}}
        means = bearer(proofs=_Proofs(JKT))
        assert refusal(means, with_token(make(**bound), "Bearer")) == "token_binding"
        assert refusal(means, with_token(make(), "DPoP")) == "token_binding"
        assert refusal(means, with_token(make(**bound), "DPoP")) == "let in"
        # Also once the right way is in the memo.
        assert refusal(means, with_token(make(**bound), "Bearer")) == "token_binding"

    async def test_a_proof_that_has_to_wait_is_waited_for(self) -> None:
        proofs = _LaterProofs(JKT)
        means = bearer(proofs=proofs)
        waiting = means.identify(with_token(_platform_token(jkt=JKT), "DPoP"))
        assert isinstance(waiting, Awaitable)
        assert (await waiting).app == "shop"
        proofs.jkt = "another"
        waiting = means.identify(with_token(_platform_token(jkt=JKT), "DPoP"))
        assert isinstance(waiting, Awaitable)
        with pytest.raises(Unauthenticated, match="another key"):
            await waiting

    def test_a_node_without_proofs_takes_no_bound_token(self) -> None:
        assert refusal(bearer(), with_token(_platform_token(jkt=JKT), "DPoP")) == "token_binding"

    def test_a_token_bound_to_a_certificate_needs_it(self) -> None:
        der = b"a certificate"
        x5t = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
        means = bearer()
        for certificate, verdict in ((der, "let in"), (None, "token_binding"), (b"another", "token_binding"), (der, "let in")):
            request = with_token(issuer_token(cnf={"x5t#S256": x5t}))
            request.certificate = certificate
            assert refusal(means, request) == verdict

    @pytest.mark.parametrize("cnf", [{}, {"jkt": ""}, {"x5t#S256": ""}, {"jwk": {}}, {"jkt": 7}, "jkt"])
    def test_a_confirmation_that_nobody_can_check_lets_nobody_in(self, cnf: Any) -> None:
        for scheme in ("Bearer", "DPoP"):
            code = refusal(bearer(proofs=_Proofs("")), with_token(issuer_token(cnf=cnf), scheme))
            assert code in ("token_binding", "token_invalid")


@pytest.mark.req("0.38")
@pytest.mark.parametrize("typ", ["dpop+jwt", "logout+jwt", "secevent+jwt", "id_token"])
def test_another_kind_of_jwt_is_no_access_token(typ: str) -> None:
    assert refusal(bearer(), with_token(app_token(headers={"typ": typ}))) == "token_invalid"
    assert refusal(bearer(), with_token(app_token(headers={"typ": "AT+JWT"}))) == "let in"


@pytest.mark.parametrize(
    "iss", ["zhiyun", "https://login.partner.example", "nobody", "pk_partner", "ak_weak", 7, None, ["ak_shop"]]
)
def test_a_secret_key_speaks_for_its_own_app_only(iss: Any) -> None:
    claims = {
        "iss": iss,
        "aud": "zhiyun",
        "iat": int(time.time()),
        "exp": int(time.time()) + 60,
        "sub": "shop",
        "client_id": SHOP_KEY,
    }
    token = pyjwt.api_jws.encode(json.dumps(claims).encode(), "s" * 43, algorithm="HS256", headers={"kid": SIGNING.kid})
    assert refusal(bearer(), with_token(token)) == "token_invalid"


_AT = time.time()  # the clock stands: who is refused is refused for the change, not for the hour
_MEANS: Bearer = bearer(proofs=_Proofs(JKT), now=lambda: _AT)
_TOKENS = [_platform_token(), app_token(), issuer_token(), _platform_token(jkt=JKT)]


@given(st.sampled_from(_TOKENS), st.integers(min_value=0), st.integers(1, 255), st.sampled_from(["Bearer ", "DPoP "]))
def test_a_token_with_one_byte_changed_lets_nobody_in(token: str, place: int, change: int, scheme: str) -> None:
    mutated = bytearray(token.encode())
    mutated[place % len(mutated)] ^= change
    request = request_of("GET", "/")
    request.authorization = scheme.encode() + bytes(mutated)
    if bytes(mutated).strip(b" ") != token.encode():
        assert refusal(_MEANS, request) != "let in"


_parts = st.lists(st.one_of(*(st.sampled_from(each.split(".")) for each in _TOKENS)), min_size=3, max_size=3).map(".".join)


@given(_parts)
def test_parts_of_several_tokens_put_together_let_nobody_in(token: str) -> None:
    if token not in _TOKENS:
        assert refusal(_MEANS, with_token(token)) != "let in"
        assert refusal(_MEANS, with_token(token, "DPoP")) != "let in"


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=80).map(lambda each: b"Bearer " + each)))
def test_noise_raises_nothing_but_unauthenticated(noise: bytes) -> None:
    request = request_of("GET", "/")
    request.authorization = noise
    _MEANS.is_used(request)
    with pytest.raises(Unauthenticated):
        identified(_MEANS, request)
