"""What the person who typed `make run` sees: progress, addresses, first credentials, lines to paste."""

import sys
from typing import Any

from config.settings import Settings

_IS_TERMINAL = sys.stdout.isatty()


def _paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if _IS_TERMINAL else text


def say(text: str) -> None:
    """One line, at once."""
    print(text, flush=True)


def started(name: str, where: str, seconds: float) -> None:
    say(f"  {_paint('✓', '32')} {name:<16} {where:<44} {seconds:5.1f} s")


class Progress:
    """The first loads. On a terminal a line is rewritten while its job runs; elsewhere only its end is printed."""

    def __init__(self) -> None:
        self._has_begun = False

    def show(self, event: dict[str, Any]) -> None:
        if not self._has_begun:
            self._has_begun = True
            say(_paint("First load 首次采集", "1"))
        state, rows, expected = event["state"], event["rows"], event.get("expected")
        share = f"{min(100, 100 * rows // expected):3d} %" if expected and state == "running" else ""
        bad = f", {event['bad']} bad rows in quarantine 隔离" if event.get("bad") else ""
        line = (
            f"  {event['job']:<24} {rows:>8,} rows {share:>5} {state}{bad}{' — ' + event['reason'] if event.get('reason') else ''}"
        )
        if state == "running":
            if _IS_TERMINAL:
                print(f"{line}\r", end="", flush=True)
            return
        say(f"{line:<100}" if _IS_TERMINAL else line)


def ready(settings: Settings, facts: dict[str, Any]) -> None:
    """Addresses; at the first start the operator's password; with the sample, its app and four lines to paste."""
    say("")
    say(_paint("Zhiyun 智云 is ready 已就绪", "1;32"))
    if "gateway" in settings.roles:
        say(f"  Gateway 网关      {settings.public_url}")
    if "back-office" in settings.roles:
        say(f"  Console 控制台    http://{settings.console}   (API: /docs, metrics: /metrics)")
        if facts.get("password"):
            say(f"  Operator 操作员   operator / {facts['password']}   (shown this once 仅显示一次)")
        else:
            say("  Operator 操作员   operator   (password shown at the first start; new one: ./zhiyun user password operator)")
    sample = facts.get("sample")
    if sample:
        _sample(settings.public_url, sample["key"], sample["secret"])
    say("")
    say("Ctrl-C drains and stops. 按 Ctrl-C 停止。")


def curl_lines(url: str, key: str, secret: str) -> list[str]:
    """Four lines that work when pasted into a POSIX shell, in this order: token, query, write, changes feed."""
    bearer = '-H "Authorization: Bearer $TOKEN"'
    pick = r"""sed 's/.*"access_token":"\([^"]*\)".*/\1/'"""
    body = """'{"status": "已认购"}'"""
    return [
        f"TOKEN=$(curl -s -u '{key}:{secret}' -d grant_type=client_credentials {url}/oauth2/token | {pick})",
        f"curl -sG {bearer} --data-urlencode 'channel=自然来访' -d limit=2 {url}/v1/customers",
        f"curl -s -X PATCH {bearer} -H \"Idempotency-Key: $(date +%s)\" -H 'Content-Type: application/json'"
        f" -d {body} {url}/v1/customers/K0000001",
        f"curl -s {bearer} '{url}/v1/customers/changes?since=0&limit=2'",
    ]


def _sample(url: str, key: str, secret: str) -> None:
    say(f"  Sample app 示例应用  AppKey {key}   AppSecret {secret}")
    say("")
    say(_paint("Try it: paste these four lines 粘贴试用", "1"))
    for line in curl_lines(url, key, secret):
        say(f"  {line}")
