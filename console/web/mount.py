"""Puts the console's pages on the API's app: login first, then NiceGUI at `/`. Imported lazily, so that the API runs without."""

from fastapi import FastAPI

from console.api.control import Control
from console.web.cookies import SessionCookie
from console.web.login import login_router


def mount(api: FastAPI, control: Control, storage_secret: str) -> None:
    """Once in a process, before the app is served. `storage_secret` signs the session cookies."""
    from nicegui import ui  # 30 MB: only a process that shows pages pays for it

    from console.web.pages.overview import add_overview

    cookie = SessionCookie(storage_secret)
    api.include_router(login_router(cookie))
    add_overview(control, api.state.glance, cookie)
    ui.run_with(api, title="智云 Zhiyun", dark=None, tailwind=False, show_welcome_message=False, reconnect_timeout=10)
