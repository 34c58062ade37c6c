"""DPoP proofs (RFC 9449 §4): that the sender of a request holds the key to which its token is bound. For means that take tokens."""

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from core.cache import Replays
from core.errors import ConfigError, Unauthenticated
from gateway.access.bearer import Proofs
from gateway.access.components import authority, normal_host
from gateway.access.jwk import Algorithm, key_of, packed, thumbprint, unpacked
from gateway.access.once import once
from gateway.stage import Request

WINDOW_S = 60
MAX_CHARACTERS = 4096
MAX_JTI = 256
_ALGORITHMS: dict[str, Algorithm] = {"ES256": "ES256", "EdDSA": "EdDSA", "Ed25519": "EdDSA"}  # RFC 9864 names the curve
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # RFC 7518 §6.2.2, §6.3.2, §6.4


class DpopProofs:
    """Checks the proof of a request. Each proof's `jti` is remembered until the proof is too old to come again."""

    def __init__(self, replays: Replays, now: Callable[[], float] = time.time, *, window_s: float = WINDOW_S) -> None:
        self._replays = replays
        self._now = now
        self._window_s = window_s

    def check(self, request: Request, *, token: str | None) -> str | Awaitable[str]:
        """The thumbprint (RFC 7638) of the key that made the proof; the caller compares it with the token's `cnf.jkt`, and for a
        device with the thumbprint of its key. With `token` the proof must be made for it (`ath`). Raises Unauthenticated
        (dpop_invalid, replayed), and what the replay store raises."""
        header, claims = self._verified(request.headers.get("dpop", ""))
        now = self._now()
        left_s = self._check_time(claims, now)
        _check_request(claims, request)
        if token is not None:
            _check_token(claims, token)
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI:
            raise _invalid(f"jti must be a text of 1 to {MAX_JTI} characters")
        print_of_key = thumbprint(header["jwk"])
        return once(print_of_key, self._replays.is_new(f"dpop:{print_of_key}:{jti}", left_s))

    def _verified(self, field: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims of a proof that its own key has signed (§4.3, 1 to 7)."""
        if not field or "," in field:
            raise _invalid("there must be exactly one DPoP field")
        if len(field) > MAX_CHARACTERS or not field.isascii():
            raise _invalid(f"it must have at most {MAX_CHARACTERS} characters of ASCII")
        parts = field.encode("ascii").split(b".")
        if len(parts) != 3:
            raise _invalid("it must be a JWT in compact form")
        header, claims = _object(parts[0]), _object(parts[1])
        jwk, algorithm = header.get("jwk"), _ALGORITHMS.get(str(header.get("alg")))
        if header.get("typ") != "dpop+jwt" or "crit" in header or algorithm is None or not isinstance(jwk, dict):
            raise _invalid("its header must have typ dpop+jwt, alg ES256 or EdDSA, and jwk, and no crit")
        if not _PRIVATE.isdisjoint(jwk):
            raise _invalid("its jwk must be a public key")
        try:
            key, signature = key_of({**jwk, "alg": algorithm}, algorithm), unpacked(parts[2])
        except (ConfigError, ValueError) as error:
            raise _invalid(f"its key or signature can't be read: {error}") from error
        if not key.is_signed(b".".join(parts[:2]), signature):
            raise _invalid("its signature is not by its key")
        return header, claims

    def _check_time(self, claims: Mapping[str, Any], now: float) -> float:
        """The seconds for which the proof will still be accepted."""
        made = claims.get("iat")
        if not isinstance(made, int | float) or not abs(now - made) <= self._window_s:
            raise _invalid(f"iat must be within {self._window_s:.0f} s of our clock")
        return made + self._window_s - now + 1


def _check_request(claims: Mapping[str, Any], request: Request) -> None:
    """§4.3, 8 and 9: `htm` and `htu` are the request's, without query and fragment."""
    if claims.get("htm") != request.verb.decode("ascii"):
        raise _invalid("htm is not the request's method")
    htu, path = claims.get("htu"), request.target.partition(b"?")[0].decode("ascii", "replace")
    if not isinstance(htu, str) or _normalised(htu) != f"{request.scheme}://{authority(request)}{path}":
        raise _invalid("htu is not the request's address as it arrived here (scheme, host and path)")


def _normalised(htu: str) -> str:
    scheme, _, rest = htu.partition("#")[0].partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    scheme = scheme.lower()
    return f"{scheme}://{normal_host(host, scheme)}/{path if slash else ''}"


def _check_token(claims: Mapping[str, Any], token: str) -> None:
    """§4.3, 11."""
    wanted, given = packed(hashlib.sha256(token.encode()).digest()), claims.get("ath")
    if not isinstance(given, str) or not hmac.compare_digest(wanted, given.encode("utf-8", "replace")):
        raise _invalid("ath is not the hash of the access token")


def _object(part: bytes) -> dict[str, Any]:
    try:
        found = json.loads(unpacked(part).decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _invalid("its header or its claims are no JSON object, or name a member twice") from error
    if not isinstance(found, dict):
        raise _invalid("its header and its claims must be JSON objects")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 7515 §4: names are unique. The proof's key is in its header: nobody else vouches for which of two was meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is given twice")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _invalid(detail: str) -> Unauthenticated:
    return Unauthenticated(f"the DPoP proof is not valid: {detail} (RFC 9449 §4.3)", code="dpop_invalid")


def _conforms(proofs: DpopProofs) -> Proofs:
    return proofs
