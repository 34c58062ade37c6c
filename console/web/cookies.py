"""The console's cookies: the session, signed so that a made-up one costs no query, and two preferences.

The session cookie is HttpOnly and SameSite=Strict: no script reads it, and no other site's request carries it.
"""

import hashlib
import hmac
from typing import Literal

from fastapi import Request
from starlette.responses import Response

from console.web.texts import LANGUAGES, Texts, language_of
from core.secret import Secret

Theme = Literal["light", "dark", "auto"]
SESSION, LANGUAGE, THEME = "zhiyun_session", "zhiyun_language", "zhiyun_theme"
_THEMES: tuple[Theme, ...] = ("light", "dark", "auto")
_SESSION_S = 12 * 3600
_PREFERENCE_S = 365 * 86_400


class SessionCookie:
    """Writes and reads the token of a console session."""

    def __init__(self, secret: str) -> None:
        self._key = secret.encode()

    def _signature(self, token: str) -> str:
        return hmac.new(self._key, token.encode(), hashlib.sha256).hexdigest()

    def write(self, response: Response, request: Request, token: Secret) -> None:
        value = f"{token.reveal()}.{self._signature(token.reveal())}"
        is_secure = request.url.scheme == "https"
        response.set_cookie(SESSION, value, max_age=_SESSION_S, httponly=True, samesite="strict", secure=is_secure)

    def read(self, request: Request) -> Secret | None:
        token, _, signature = request.cookies.get(SESSION, "").rpartition(".")
        is_ours = hmac.compare_digest(signature.encode(), self._signature(token).encode())
        return Secret(token) if token and is_ours else None


def texts_of(request: Request) -> Texts:
    return Texts(language_of(request.cookies.get(LANGUAGE), request.headers.get("accept-language", "")))


def theme_of(request: Request) -> Theme:
    chosen = request.cookies.get(THEME)
    return next((theme for theme in _THEMES if theme == chosen), "auto")


def keep_preferences(response: Response, language: str | None, theme: str | None) -> None:
    """What is no language or theme is left alone."""
    for name, value, known in ((LANGUAGE, language, LANGUAGES), (THEME, theme, _THEMES)):
        if value in known and value is not None:
            response.set_cookie(name, value, max_age=_PREFERENCE_S, samesite="lax", httponly=True)
