"""Logging in and out of the console: a plain form, no script; the same users and the same throttle as the API."""

from html import escape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.api.access import note
from console.api.control import Controlled
from console.api.json_io import read_bytes
from console.api.session import client_address
from console.web.cookies import SESSION, SessionCookie, keep_preferences, texts_of, theme_of
from core.errors import Forbidden, Limited, Unauthenticated
from core.secret import Secret

STYLE = Path(__file__).with_name("style.css")


def login_router(cookie: SessionCookie) -> APIRouter:
    """`/login`, `/logout` and `/preferences`, outside the API's description: they serve the browser only."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    async def show(request: Request) -> Response:
        return _page(request)

    @router.post("/login")
    async def log_in(request: Request, control: Controlled) -> Response:
        form = parse_qs((await read_bytes(request)).decode("utf-8", "replace"))
        name, password = form.get("name", [""])[0], form.get("password", [""])[0]
        try:
            _refuse_foreign(request)
            token, user = await control.users.login(name, Secret(password), address=client_address(request))
        except (Unauthenticated, Limited, Forbidden) as error:
            return _page(request, error, name)
        note(request, user, "logged in", address=client_address(request))
        answer = RedirectResponse("/", 303)
        cookie.write(answer, request, token)
        return answer

    @router.post("/logout")
    async def log_out(request: Request, control: Controlled) -> Response:
        token = cookie.read(request)
        if token is not None:
            await control.users.logout(token)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(SESSION)
        return answer

    @router.get("/preferences")
    async def prefer(lang: str | None = None, theme: str | None = None, page: str = "") -> Response:
        answer = RedirectResponse("/login" if page == "login" else "/", 303)
        keep_preferences(answer, lang, theme)
        return answer

    @router.get("/console.css")
    async def style() -> Response:
        return Response(STYLE.read_text(encoding="utf-8"), media_type="text/css")

    return router


def _refuse_foreign(request: Request) -> None:
    """Another site must not log its visitors in here under its own account."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Forbidden("the form was sent from another site")


def _page(request: Request, error: Unauthenticated | Limited | Forbidden | None = None, name: str = "") -> HTMLResponse:
    text, theme = texts_of(request), theme_of(request)
    message, status, headers = "", 200, {}
    match error:
        case Unauthenticated():
            message, status = text("wrong"), 401
        case Limited():
            seconds = max(1, round(error.retry_after_s))
            message, status, headers = text("locked", seconds=seconds), 429, {"Retry-After": str(seconds)}
        case Forbidden():
            message, status = text("foreign"), 403
    other = "zh" if text.language == "en" else "en"
    return HTMLResponse(
        _PAGE.format(
            language=text.language,
            theme=theme,
            title=text("log_in"),
            platform=text("platform"),
            message=f'<p class="login-error" role="alert">{escape(message)}</p>' if message else "",
            user=text("user"),
            name=escape(name[:100], quote=True),
            password=text("password"),
            button=text("log_in"),
            other=other,
            other_name="中文" if other == "zh" else "English",
        ),
        status,
        {"Cache-Control": "no-store", **headers},
    )


_PAGE = """<!doctype html>
<html lang="{language}" data-theme="{theme}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · 智云 Zhiyun</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/console.css">
</head>
<body class="login">
<main>
<div class="brand"><span class="mark">云</span><span><b>智云 Zhiyun</b><small>{platform}</small></span></div>
{message}
<form method="post" action="/login">
<label>{user}<input name="name" value="{name}" autocomplete="username" autocapitalize="none" required autofocus></label>
<label>{password}<input name="password" type="password" autocomplete="current-password" required></label>
<button>{button}</button>
</form>
<p class="login-foot"><a href="/preferences?lang={other}&amp;page=login">{other_name}</a></p>
</main>
</body>
</html>
"""
