"""AppKey and AppSecret of apps and proxies: list, issue, rotate, revoke. A secret is shown once."""

from typing import Annotated, Any

import typer

from cli.resources import SECTIONS
from cli.terminal import Name, Terminal, command, moment
from core.errors import InvalidInput, NotFound

Key = Annotated[str | None, typer.Option("--key", help="which one, where there are several 密钥编号")]
Overlap = Annotated[int, typer.Option("--overlap-s", min=0, help="the old secret works so long, in seconds 旧密钥保留秒数")]


def say_issued(terminal: Terminal, issued: dict[str, Any], done: str) -> None:
    text = f"{done}\n  AppKey     {issued['key']}\n  AppSecret  {issued['secret']}   (shown this once 仅显示一次)"
    terminal.result(issued, text)


def add(group: typer.Typer, kind: str) -> None:
    """The same commands for apps and proxies."""
    section = SECTIONS[kind]

    def keys(terminal: Terminal, name: Name) -> None:
        """List its keys, without secrets. 列出密钥。"""
        found = terminal.client.act("GET", section, name, "credentials")
        rows = ([each["key"], moment(each["created_ms"]), moment(each["overlap_ends_ms"])] for each in found["items"])
        terminal.table(found, ["KEY", "SECRET SINCE", "OLD SECRET UNTIL"], rows, empty=f"{kind} {name} has no key")

    def issue(terminal: Terminal, name: Name) -> None:
        """Issue one more AppKey and AppSecret, shown this once. 签发密钥。"""
        say_issued(terminal, terminal.client.act("POST", section, name, "credentials"), f"{kind} {name} has a new key")

    def rotate(terminal: Terminal, name: Name, key: Key = None, overlap_s: Overlap = 86_400) -> None:
        """A new secret for its key; the old one works a day longer. 更换密钥。"""
        chosen = key or _only_key(terminal, section, name)
        issued = terminal.client.act("POST", section, name, f"credentials/{chosen}/rotate", {"overlap_s": overlap_s})
        say_issued(terminal, issued, f"{chosen} has a new secret; the old one works {overlap_s} s longer")

    def revoke(terminal: Terminal, name: Name, key: Annotated[str, typer.Argument(help="the key 密钥编号")]) -> None:
        """End a key at once. 吊销密钥。"""
        terminal.client.act("DELETE", section, name, f"credentials/{key}")
        terminal.result({"key": key, "revoked": True}, f"{key} revoked")

    command(group, "keys")(keys)
    command(group, "secret")(issue)
    command(group, "key", hidden=True)(issue)
    command(group, "rotate")(rotate)
    command(group, "revoke")(revoke)


def _only_key(terminal: Terminal, section: str, name: str) -> str:
    found = terminal.client.act("GET", section, name, "credentials")["items"]
    if not found:
        raise NotFound(f"{name} has no key yet; issue one with: secret {name}")
    if len(found) > 1:
        raise InvalidInput(f"{name} has {len(found)} keys; choose one with --key: {', '.join(each['key'] for each in found)}")
    return str(found[0]["key"])
