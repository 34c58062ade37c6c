"""`zhiyun demo`: the whole story on a node of its own, step by step, with what happened at each (故事演示).

It starts `zhiyun up --sample estate` in a temporary folder on free ports, talks to it as operator and as app, and ends it.
"""

import base64
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.errors import Unavailable

ROOT = Path(__file__).resolve().parent.parent
_UP_S = 90.0
_SHOWN_CHARACTERS = 300
_SCOPES = ("customers:read", "customers:write", "member-points:read", "marketing-api:call")


class Story:
    """The clients of the two ports and the pen that tells what they do."""

    def __init__(self, console: Console, gateway: str, management: str, token: str) -> None:
        self.console = console
        self.gateway = httpx.Client(base_url=gateway, timeout=30)
        self.management = httpx.Client(base_url=f"{management}/api/v1", timeout=30, headers={"Authorization": f"Bearer {token}"})
        self.bearer = ""
        self.titles: list[str] = []

    def chapter(self, english: str, chinese: str) -> None:
        self.titles.append(english)
        self.console.print(f"\n[bold cyan]{len(self.titles)}. {english}[/]  [dim]{chinese}[/]")

    def say(self, text: str) -> None:
        self.console.print(f"   {text}")

    def operate(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the management API; its JSON. Unavailable, with the server's words, where it refuses."""
        answer = self.management.request(method, path, json=body)
        if answer.is_error:
            raise Unavailable(f"{method} /api/v1{path}: {answer.text}")
        return answer.json() if answer.content else None

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One call of the app, shown with its status, tier and the beginning of its body."""
        headers = {"Authorization": f"Bearer {self.bearer}", **options.pop("headers", {})}
        answer = self.gateway.request(method, path, headers=headers, **options)
        colour = "green" if answer.is_success else "yellow"
        tier = answer.headers.get("X-Zhiyun-Tier")
        origin = f"  from [bold]{tier}[/], {answer.headers.get('Age', '0')} s old" if tier else ""
        self.say(f"{method} {escape(str(answer.request.url.raw_path.decode()))} → [{colour}]{answer.status_code}[/]{origin}")
        if answer.text:
            self.say(f"[dim]{escape(answer.text[:_SHOWN_CHARACTERS])}{'…' if len(answer.text) > _SHOWN_CHARACTERS else ''}[/]")
        return answer

    def wait(self, what: str, condition: Callable[[], bool], within_s: float = 60.0) -> None:
        """Unavailable where it does not come true in time."""
        until = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > until:
                raise Unavailable(f"{what} did not happen within {within_s:g} s")
            time.sleep(0.2)


def tell(*, to_stderr: bool = False) -> list[str]:
    """Tell the story on a node of its own; the titles of its chapters. Raises Unavailable where a step fails."""
    console = Console(highlight=False, soft_wrap=True, stderr=to_stderr)
    with tempfile.TemporaryDirectory(prefix="zhiyun-demo-") as folder:
        data = Path(folder) / "data"
        http, management = _free_port(), _free_port()
        command = [sys.executable, "-m", "cli", "up", "--sample", "estate", "--data-dir", str(data)]
        command += ["--http", f"127.0.0.1:{http}", "--console", f"127.0.0.1:{management}"]
        console.print("[bold]Zhiyun 智云[/]: a node of its own is starting, with six foreign systems beside it …")
        log = Path(folder) / "node.log"
        with log.open("wb") as file:
            node = subprocess.Popen(  # noqa: S603  # our own command
                command, cwd=ROOT, stdout=file, stderr=file, start_new_session=True
            )
        try:
            _wait_up(node, management, log)
            token = (data / "operator.token").read_text().strip()
            titles = tell_to(Story(console, f"http://127.0.0.1:{http}", f"http://127.0.0.1:{management}", token))
        finally:
            if node.poll() is None:
                node.send_signal(signal.SIGINT)
            status = node.wait(60)
        console.print(f"\nThe node drained and ended with status {status}. 节点已排空并退出。")
    return titles


def tell_to(story: "Story") -> list[str]:
    """All chapters, on the node the story talks to, which must serve the sample."""
    for chapter in (_sources, _register, _query, _write, _live, _route, _limits, _quarantine):
        chapter(story)
    return story.titles


def _sources(story: Story) -> None:
    story.chapter("Six systems that were never made to be shared are collected into mirrors", "六个外部系统采集入库")
    runs: dict[str, dict[str, Any]] = {}

    def all_ended() -> bool:
        runs.update({run["job"]: run for run in reversed(story.operate("GET", "/runs?limit=200")["items"])})
        jobs = {job["name"] for job in story.operate("GET", "/jobs?limit=200")["items"]}
        return bool(jobs) and all(runs.get(job, {}).get("state") in ("succeeded", "partial") for job in jobs)

    story.wait("the first load", all_ended)
    table = Table("job", "batch", "rows", "bad rows", "state", box=None, pad_edge=False)
    for job, run in sorted(runs.items()):
        table.add_row(job, run["batch_id"], f"{run['rows']:,}", str(run["bad_rows"]), run["state"])
    story.console.print(table)


def _register(story: Story) -> None:
    story.chapter("An app registers and gets its AppKey, AppSecret and a token", "应用注册与令牌")
    app = {"title": "演示应用", "plan": "partner", "scopes": [*_SCOPES]}
    story.operate("PUT", "/apps/demo-app", app)
    issued = story.operate("POST", "/apps/demo-app/credentials")
    story.say(f"AppKey {issued['key']}, AppSecret {issued['secret'][:6]}… (shown once)")
    basic = base64.b64encode(f"{issued['key']}:{issued['secret']}".encode()).decode()

    def has_token() -> bool:
        answer = story.gateway.post(
            "/oauth2/token", data={"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"}
        )
        story.bearer = answer.json().get("access_token", "")
        return bool(story.bearer)

    story.wait("the token", has_token, 10)
    story.say(f"token {story.bearer[:24]}… for one hour")


def _query(story: Story) -> None:
    story.chapter("The app asks for customers: the mirror answers, then the app cache", "查询：镜像库与应用缓存")
    story.call("GET", "/v1/customers", params={"channel": "自然来访", "limit": "1"})
    story.call("GET", "/v1/customers", params={"channel": "自然来访", "limit": "1"})


def _write(story: Story) -> None:
    story.chapter("A write goes to the source, the mirror and the bus, once", "同步写入：来源、镜像与总线各一次")
    before = json.loads(story.gateway.get("/v1/customers/K0000001", headers={"Authorization": f"Bearer {story.bearer}"}).text)
    status = "已认购" if before["status"] != "已认购" else "跟进中"
    headers = {"Idempotency-Key": "demo-1"}
    story.call("PATCH", "/v1/customers/K0000001", json={"status": status}, headers=headers)
    story.say("the same again, as after a lost answer: nothing is done twice")
    story.call("PATCH", "/v1/customers/K0000001", json={"status": status}, headers=headers)
    answer = story.call("GET", "/v1/customers/K0000001")
    if answer.json()["status"] != status:
        raise Unavailable("the write is not to be seen")
    story.call("GET", "/v1/customers/changes", params={"since": str(int(answer.headers["ETag"].strip('"')) - 1), "limit": "1"})


def _live(story: Story) -> None:
    story.chapter("A live SOAP call of the member centre, wrapped as JSON and cached", "实时接口：SOAP 封装为 JSON")
    members = story.operate("GET", "/services/member-points")
    story.say(f"service member-points: {members['body']['call']['operation']} of source {members['body']['call']['source']}")
    story.call("GET", "/v1/member-points/M00000001")
    story.call("GET", "/v1/member-points/M00000001")
    story.call("GET", "/v1/member-points/M99999999")


def _route(story: Story) -> None:
    story.chapter("An HTTP API of a foreign system is passed through, with the gateway in front", "直通路由：营销平台接口")
    for _ in range(2):
        answer = story.call("GET", "/marketing/campaigns", params={"size": "1"})
        if not answer.is_success:
            raise Unavailable("the route does not lead to the marketing system")
    if "Age" not in answer.headers:
        raise Unavailable("the second answer did not come from the gateway's cache")
    story.say(f"the second came from the gateway's cache, {answer.headers['Age']} s old")


def _limits(story: Story) -> None:
    story.chapter("Limits and refusals are plain problem+json", "限流与错误")
    story.operate("PUT", "/plans/tiny", {"per_s": 1, "burst": 2})
    app = story.operate("GET", "/apps/demo-app")["body"]
    story.operate("PUT", "/apps/demo-app", {**app, "plan": "tiny"})
    time.sleep(1.0)  # the change reaches the gateway within a second
    answers = [story.call("GET", "/v1/customers/K0000002").status_code for _ in range(4)]
    if 429 not in answers:
        raise Unavailable("the plan's limit was not applied")
    story.operate("PUT", "/apps/demo-app", app)
    time.sleep(1.0)
    story.call("GET", "/v1/deals", params={"limit": "1"})


def _quarantine(story: Story) -> None:
    story.chapter("Bad rows wait in quarantine with their reason and raw bytes", "坏数据隔离")
    rows = story.operate("GET", "/quarantine?limit=3")["items"]
    for row in rows:
        story.say(f"{row['dataset']}, {escape(row['place'])}: [yellow]{escape(row['reason'])}[/]")
    story.say("list and replay them with: ./zhiyun job quarantine")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_up(node: subprocess.Popen[bytes], management: int, log: Path) -> None:
    until = time.monotonic() + _UP_S
    while time.monotonic() < until:
        if node.poll() is not None:
            raise Unavailable(f"the node ended at its start: {log.read_text().strip()}")
        try:
            if httpx.get(f"http://127.0.0.1:{management}/readyz", timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise Unavailable(f"the node did not come up within {_UP_S:g} s: {log.read_text().strip()}")
