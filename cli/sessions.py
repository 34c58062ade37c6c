"""Sessions of apps, each an access token: list, and end on all nodes at once."""

from typing import Annotated
from urllib.parse import quote

import typer

from cli.terminal import Limit, Terminal, command, moment
from core.errors import InvalidInput

App = Annotated[str | None, typer.Option("--app", help="of this app 应用")]
Device = Annotated[str | None, typer.Option("--device", help="of this device 设备")]


def add(group: typer.Typer) -> None:
    command(group, "list")(sessions)
    command(group, "revoke")(revoke)


def sessions(
    terminal: Terminal,
    app: App = None,
    device: Device = None,
    limit: Limit = 50,
    after: Annotated[str | None, typer.Option("--after", help="the last id of the page before 上一页末尾的编号")] = None,
) -> None:
    """The tokens that have not expired, newest first. 会话列表。"""
    found = terminal.client.ask("GET", "app-sessions", app=app, device=device, limit=limit, after=after)
    rows = (
        [
            each["id"],
            each["app"],
            each["device"] or None,
            each["actor"] or None,
            each["address"],
            moment(each["issued_ms"]),
            f"revoked {moment(each['revoked_ms'])}" if each["revoked_ms"] else f"until {moment(each['expires_ms'])}",
        ]
        for each in found["items"]
    )
    terminal.table(found, ("ID", "APP", "DEVICE", "BY PROXY", "ADDRESS", "ISSUED", "STATE"), rows, empty="no token is in use")


def revoke(
    terminal: Terminal,
    session: Annotated[str | None, typer.Argument(metavar="ID", help="the session's id 会话编号")] = None,
    app: App = None,
    device: Device = None,
) -> None:
    """End one session, or all of an app or device, on every node. 吊销会话。"""
    if sum(each is not None for each in (session, app, device)) != 1:
        raise InvalidInput("name one of three: a session's id, --app or --device")
    if session is not None:
        done = terminal.client.ask("DELETE", f"app-sessions/{quote(session, safe='')}")
        terminal.result(done, f"session {session} has ended")
        return
    done = terminal.client.ask("DELETE", "app-sessions", app=app, device=device)
    terminal.result(done, f"every session of {done['scope']} {done['name']} until now has ended")
