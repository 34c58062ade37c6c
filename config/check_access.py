"""Sense of what stands for an app besides its key: client certificates, subjects of trusted issuers, the issuers themselves. Pure.

The gateway lets nobody in by a name that two apps claim; here it is said before that.
"""

from collections.abc import Iterator

from config.certificate_names import normal_form
from config.model import Issuer, Platform
from config.problem import Path, Problem, suggestion

_OWN_NAME = "zhiyun"  # what the platform's own tokens have as `iss`
_CLAIMS = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti", "cnf", "sub", "client_id", "azp"})
_KEY_TYPES = {"EdDSA": ("OKP", "Ed25519"), "ES256": ("EC", "P-256"), "RS256": ("RSA", None)}


def certificate_problems(platform: Platform) -> Iterator[Problem]:
    """Each is a thumbprint or a subject, and stands for one app only."""
    seen: dict[str, str] = {}
    for name, app in platform.apps.items():
        for index, text in enumerate(app.certificates):
            path = ("apps", name, "certificates", str(index))
            try:
                known = seen.setdefault(normal_form(text), name)
            except ValueError:
                yield Problem(
                    path, f"'{text}' is neither a SHA-256 thumbprint (64 hex digits) nor a subject such as CN=shop,O=Acme"
                )
                continue
            if known != name:
                yield Problem(path, f"this certificate stands for app '{known}' already; it can stand for one app only")


def subject_problems(platform: Platform) -> Iterator[Problem]:
    """Each names a declared issuer, and stands for one app only."""
    seen: dict[tuple[str, str], str] = {}
    for name, app in platform.apps.items():
        for issuer, subjects in app.subjects.items():
            path = ("apps", name, "subjects", issuer)
            if issuer not in platform.issuers:
                yield Problem(path, f"issuer '{issuer}' is not declared in issuers{suggestion(issuer, platform.issuers)}")
            for index, subject in enumerate(subjects):
                known = seen.setdefault((issuer, subject), name)
                if known != name:
                    yield Problem(
                        (*path, str(index)), f"'{subject}' stands for app '{known}' already; it can stand for one app only"
                    )


def issuer_problems(platform: Platform) -> Iterator[Problem]:
    """Each has a name of its own in tokens, keys from one place, and a claim for scopes that means nothing else."""
    seen: dict[str, str] = {_OWN_NAME: "the platform itself"}
    for name, issuer in platform.issuers.items():
        path = ("issuers", name)
        known = seen.setdefault(issuer.issuer, f"issuer '{name}'")
        if known != f"issuer '{name}'":
            yield Problem((*path, "issuer"), f"'{issuer.issuer}' is what {known} has in its tokens already")
        if (issuer.jwks_url is None) == (not issuer.keys):
            yield Problem(path, "needs its keys from one place: either jwks_url or keys")
        if issuer.scope_claim in _CLAIMS:
            yield Problem((*path, "scope_claim"), f"'{issuer.scope_claim}' is a claim with a meaning of its own")
        yield from _key_problems(issuer, path)


def _key_problems(issuer: Issuer, path: Path) -> Iterator[Problem]:
    kind, curve = _KEY_TYPES[issuer.algorithm]
    for index, key in enumerate(issuer.keys):
        if key.get("kty") != kind or (curve is not None and key.get("crv") != curve):
            wanted = f"kty {kind}" + (f" and crv {curve}" if curve else "")
            yield Problem((*path, "keys", str(index)), f"is no key for {issuer.algorithm}: it needs {wanted}")
        if private := _PRIVATE & set(key):
            yield Problem(
                (*path, "keys", str(index)), f"holds a private key ({', '.join(sorted(private))}); give the public one only"
            )


_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})


def access_problems(platform: Platform) -> Iterator[Problem]:
    """All of them."""
    yield from certificate_problems(platform)
    yield from subject_problems(platform)
    yield from issuer_problems(platform)
