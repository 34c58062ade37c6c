"""Client certificates (mutual TLS): the listener has checked the chain and that the client holds the key; here it gets a name."""

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog
from cryptography import x509

from config.certificate_names import normal_form
from config.model import App
from core.errors import Unauthenticated
from gateway.access.memo import Memo
from gateway.identity import Identity
from gateway.identity import Means as Kind
from gateway.means import Means
from gateway.stage import Request

_ENTRIES = 4096
_log = structlog.get_logger("gateway.certificate")


class _Known(NamedTuple):
    identity: Identity
    begins: float
    ends: float


class ClientCertificate:
    """Of one snapshot. A thumbprint names one certificate; a subject names all that the listener's authorities issue for it. Where
    both fit, the thumbprint counts. What two apps claim stands for neither.
    """

    kind: Kind = "certificate"
    challenge = 'Certificate realm="zhiyun"'

    def __init__(self, apps: Mapping[str, App], *, now: Callable[[], float] = time.time) -> None:
        self._apps = _by_name(apps)
        self._now = now
        self._memo: Memo[_Known] = Memo(_ENTRIES)  # by the certificate itself: one object serves all requests of a connection

    def is_used(self, request: Request) -> bool:
        return request.certificate is not None

    def needs_body(self, request: Request) -> bool:
        return False

    def identify(self, request: Request) -> Identity:
        """Raises Unauthenticated: certificate_unknown, certificate_expired (not yet valid, too)."""
        return self._valid(request).identity

    def holds_until(self, request: Request) -> float:
        """Raises as `identify` does."""
        return self._valid(request).ends

    def _valid(self, request: Request) -> _Known:
        der: bytes = request.certificate
        known = self._memo[der]
        if known is None:
            known = self._known(der)
            self._memo.put(der, known)
        if not known.begins <= self._now() < known.ends:
            raise Unauthenticated("the client certificate has expired or is not valid yet", code="certificate_expired")
        return known

    def _known(self, der: bytes) -> _Known:
        thumbprint = hashlib.sha256(der).hexdigest()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # what the library only warns of (a serial number below 1, say) is no certificate
                read = x509.load_der_x509_certificate(der)
            app = self._apps.get(thumbprint) or self._apps.get(read.subject.rfc4514_string())
            begins, ends = read.not_valid_before_utc.timestamp(), read.not_valid_after_utc.timestamp()
        except (ValueError, Warning):
            raise _unknown("the client certificate can't be read") from None
        if app is None:
            raise _unknown("no app here has this client certificate, by its thumbprint or its subject")
        return _Known(Identity(app, "", means="certificate"), begins, ends)


def _unknown(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, code="certificate_unknown")


def _by_name(apps: Mapping[str, App]) -> dict[str, str]:
    found: dict[str, str] = {}
    refused: set[str] = set()
    for name, app in apps.items():
        for text in app.certificates:
            try:
                normal = normal_form(text)
            except ValueError:
                _log.warning("a certificate of an app is neither a thumbprint nor a subject", app=name)
                continue
            if found.setdefault(normal, name) != name:
                _log.warning("a certificate stands for two apps, so for neither", apps=[found[normal], name])
                refused.add(normal)
    return {normal: name for normal, name in found.items() if normal not in refused}


def _conforms(means: ClientCertificate) -> Means:
    return means
