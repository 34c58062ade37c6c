"""The overview page: what runs, how fast, what is wrong. Refreshed each second from the same Glance as `/api/v1/overview`."""

import time
from html import escape
from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import RedirectResponse, Response

from console.api.control import Control
from console.api.messages import Overview
from console.api.overview import Glance
from console.web import sections
from console.web.cookies import SessionCookie, texts_of, theme_of
from console.web.texts import Texts
from core.clock import epoch_ms
from core.errors import PlatformError, Unauthenticated
from core.secret import Secret
from registry.users import User

_CHART_COLOUR = "#2f7df6"
_WINDOW_MS = 5 * 60 * 1000


def add_overview(control: Control, glance: Glance, cookie: SessionCookie) -> None:
    """The page at `/`; whoever is not logged in is sent to `/login`."""

    @ui.page("/", title="智云 Zhiyun", favicon="☁️")
    async def overview(request: Request) -> Response | None:
        token = cookie.read(request)
        try:
            user = await control.users.identify(token) if token else None
        except Unauthenticated:
            user = None
        if token is None or user is None:
            return RedirectResponse("/login", 303)
        page = _Page(control, glance, token, texts_of(request))
        page.draw(user, theme_of(request))
        await page.refresh()
        ui.timer(1.0, page.refresh)
        return None


class _Page:
    """One open page: the elements that a refresh fills."""

    def __init__(self, control: Control, glance: Glance, token: Secret, text: Texts) -> None:
        self._control = control
        self._glance = glance
        self._token = token
        self._text = text
        self._blocks: dict[str, ui.html] = {}
        self._chart: ui.echart | None = None

    def draw(self, user: User, theme: str) -> None:
        """The page without figures."""
        ui.add_head_html('<link rel="stylesheet" href="/console.css">')
        ui.add_head_html(f'<script>document.documentElement.dataset.theme="{theme}"</script>')
        ui.html(_header(user, self._text), sanitize=False).classes("header")
        self._blocks["alarm"] = ui.html("", sanitize=False)
        self._block("tiles", "tiles")
        with ui.element("div").classes("columns wide-left"):
            with self._card("traffic"):
                self._chart = ui.echart(_chart_options()).classes("chart")
            self._card_of("health")
        self._card_of("jobs")
        with ui.element("div").classes("columns"):
            self._card_of("nodes")
            self._card_of("runs")

    def _card(self, key: str) -> ui.element:
        card = ui.element("section").classes("card")
        with card:
            ui.html(f"<h2>{escape(self._text(key))}</h2>", sanitize=False)
        return card

    def _card_of(self, key: str) -> None:
        with self._card(key):
            self._block(key, "")

    def _block(self, key: str, classes: str) -> None:
        self._blocks[key] = ui.html("", sanitize=False).classes(classes)

    async def refresh(self) -> None:
        """Each second. A page whose session has ended goes to the login; a store that is down is told, and asked again."""
        try:
            await self._control.users.identify(self._token)
            overview = await self._glance.current()
        except Unauthenticated:
            ui.navigate.to("/login")
            return
        except PlatformError as error:
            self._set("alarm", f'<p class="alarm" role="alert">{escape(self._text("down", detail=error.detail))}</p>')
            return
        self._set("alarm", "")
        self._fill(overview)

    def _fill(self, overview: Overview) -> None:
        self._set("tiles", sections.tiles(overview, self._text))
        self._set("health", sections.health(overview, self._text))
        self._set("jobs", sections.jobs(overview, self._text))
        self._set("nodes", sections.nodes(overview, self._text, epoch_ms()))
        self._set("runs", sections.runs(overview, self._text))
        if self._chart is not None:
            now_ms = epoch_ms()
            self._chart.options["xAxis"].update(min=now_ms - _WINDOW_MS, max=now_ms)
            self._chart.options["series"][0]["data"] = [[rate.at_ms, rate.requests_per_s] for rate in overview.traffic]

    def _set(self, key: str, content: str) -> None:
        """Only what has changed is sent to the browser."""
        block = self._blocks[key]
        if block.content != content:
            block.set_content(content)


def _header(user: User, text: Texts) -> str:
    other, other_name = ("zh", "中文") if text.language == "en" else ("en", "English")
    return (
        '<div class="brand"><span class="mark">云</span>'
        f"<span><b>智云 Zhiyun</b><small>{escape(text('platform'))} · {escape(text('overview'))}</small></span></div>"
        '<nav><span class="segments">'
        f'<a href="/preferences?theme=light">{escape(text("light"))}</a>'
        f'<a href="/preferences?theme=dark">{escape(text("dark"))}</a>'
        f'</span><a href="/preferences?lang={other}">{other_name}</a><a href="/docs">API</a>'
        f'<span class="who"><b>{escape(user.name)}</b><small>{escape(text(user.role))}</small></span>'
        f'<form method="post" action="/logout"><button>{escape(text("log_out"))}</button></form></nav>'
    )


def _chart_options() -> dict[str, Any]:
    """Readable on light and dark ground alike."""
    grey = {"color": "#8a94a6"}
    now_ms = int(time.time() * 1000)
    return {
        "animation": False,
        "grid": {"left": 44, "right": 12, "top": 12, "bottom": 26},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "time",
            "min": now_ms - _WINDOW_MS,
            "max": now_ms,
            "axisLabel": {**grey, "formatter": "{HH}:{mm}", "hideOverlap": True},
            "axisLine": {"lineStyle": {"color": "#8a94a655"}},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "minInterval": 1,
            "axisLabel": grey,
            "splitLine": {"lineStyle": {"color": "#8a94a633"}},
        },
        "series": [
            {
                "type": "line",
                "showSymbol": False,
                "lineStyle": {"width": 2, "color": _CHART_COLOUR},
                "itemStyle": {"color": _CHART_COLOUR},
                "areaStyle": {
                    "color": {
                        "type": "linear",
                        "x": 0,
                        "y": 0,
                        "x2": 0,
                        "y2": 1,
                        "colorStops": [{"offset": 0, "color": _CHART_COLOUR + "55"}, {"offset": 1, "color": _CHART_COLOUR + "00"}],
                    }
                },
                "data": [],
            }
        ],
    }
