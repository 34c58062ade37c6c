"""Collection jobs: list, show, run, pause, resume, cancel, reset, the sync log, and watching them live."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal import Limit, Name, Terminal, command, dumped, moment
from core.errors import PlatformError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_POLL_S = 0.5
_DRIFT = (
    ("gone from the source", "removed"),
    ("new at the source", "added"),
    ("changed type", "changed"),
    ("added to the dataset as", "evolved"),
)
_RUN_HEADS = ("BATCH", "JOB", "STATE", "ROWS", "BAD", "STARTED", "ENDED", "REASON")


def add(group: typer.Typer) -> None:
    for name, function in (
        ("list", list_all),
        ("show", show),
        ("run", run),
        ("pause", pause),
        ("resume", resume),
        ("cancel", cancel),
        ("reset", reset),
        ("reconcile", reconcile),
        ("backfill", backfill),
        ("drift", drift),
        ("runs", runs),
        ("watch", watch),
    ):
        command(group, name)(function)


def _row(job: dict[str, Any]) -> list[object]:
    body, progress = job["body"], job["progress"]
    if job["is_paused"] and (progress is None or progress["state"] != "running"):
        progress = {"rows": 0, "share": None, "rows_per_s": 0, "bad_rows": 0, "reason": "", **(progress or {}), "state": "paused"}
    if progress is None:
        return [job["name"], body["dataset"], "not run yet" if body.get("enabled", True) else "switched off", *[None] * 5]
    share = None if progress["share"] is None else f"{progress['share'] * 100:.0f} %"
    counts = [progress["rows"], share, f"{progress['rows_per_s']:,.0f}", progress["bad_rows"]]
    return [job["name"], body["dataset"], progress["state"], *counts, progress["reason"]]


def list_all(terminal: Terminal) -> None:
    """Jobs with the run under way or the last one. 列出任务与进度。"""
    found = terminal.client.all("jobs")
    heads = ("NAME", "DATASET", "STATE", "ROWS", "DONE", "ROWS/S", "BAD", "REASON")
    terminal.table({"items": found}, heads, map(_row, found), empty="no job is declared")


def show(terminal: Terminal, name: Name) -> None:
    """One job: what is declared, and its run. 查看任务。"""
    found = terminal.client.one("jobs", name)
    terminal.result(found, dumped({**found["body"], "progress": found["progress"]}))


def run(terminal: Terminal, name: Name) -> None:
    """Run it now, or once more after the run under way. 立即运行。"""
    terminal.result(terminal.client.act("POST", "jobs", name, "run"), f"job {name} will run; zhiyun job watch {name} shows it")


def pause(terminal: Terminal, name: Name) -> None:
    """Let it run no more until it is resumed; a run under way ends behind its batch. 暂停任务。"""
    terminal.result(terminal.client.act("POST", "jobs", name, "pause"), f"job {name} is paused; zhiyun job resume {name} goes on")


def resume(terminal: Terminal, name: Name) -> None:
    """Back to its schedule; what was paused goes on where it stood. 恢复任务。"""
    terminal.result(terminal.client.act("POST", "jobs", name, "resume"), f"job {name} goes on")


def cancel(terminal: Terminal, name: Name) -> None:
    """End the run under way; what it has stored stays. 取消运行。"""
    terminal.result(terminal.client.act("POST", "jobs", name, "cancel"), f"job {name} is being cancelled")


def reset(terminal: Terminal, name: Name) -> None:
    """Forget how far it was: the next run loads everything. 重置断点。"""
    terminal.result(terminal.client.act("POST", "jobs", name, "reset"), f"job {name}: the next run loads everything")


def reconcile(terminal: Terminal, name: Name) -> None:
    """Compare its dataset at the source with the mirror, row by row; status 1 where they differ. 与源核对。"""
    client = terminal.client
    client.act("POST", "jobs", name, "reconcile")
    while (found := client.act("GET", "jobs", name, "reconcile"))["state"] == "running":
        time.sleep(_POLL_S)
    lines = [
        f"{found['dataset']}: {found['state']}",
        f"source 源: {found['source_rows']:,} rows, checksum {found['source_checksum']}, {found['bad_rows']:,} can't be converted",
        f"mirror 镜像: {found['mirror_rows']:,} rows, checksum {found['mirror_checksum']}",
        f"missing 缺失 {found['missing']:,}, vanished 源已无 {found['vanished']:,}, different 不同 {found['different']:,}",
        *found["examples"],
        *filter(None, [found["detail"]]),
    ]
    terminal.result(found, "\n".join(lines))
    if found["state"] != "equal":
        raise PlatformError(f"{found['dataset']}: {found['state']} {found['detail']}".rstrip())


def backfill(
    terminal: Terminal, name: Name, fields: Annotated[str, typer.Option(help="fields, joined by commas 字段，逗号分隔")]
) -> None:
    """Load some fields of all records anew; its increments go on where they stood. 补录字段。"""
    wanted = [each.strip() for each in fields.split(",") if each.strip()]
    found = terminal.client.act("POST", "jobs", name, "backfill", body={"fields": wanted})
    terminal.result(found, f"job {name} will load {', '.join(wanted)} anew; zhiyun job watch {name} shows it")


def drift(terminal: Terminal, name: Name) -> None:
    """What has changed in the columns of its source. 源表结构变更。"""
    found = terminal.client.act("GET", "jobs", name, "drift")
    states = [(word, ", ".join(found.get(key, ()))) for word, key in _DRIFT if found.get(key)]
    lines = [f"{word}: {names}" for word, names in states] or ["the source's columns are as declared"]
    lines += [f"{moment(each['at_ms'])}  {each['text']}" for each in found.get("events", ())]
    terminal.result(found, "\n".join(lines))


def runs(
    terminal: Terminal, name: Annotated[str | None, typer.Argument(help="one job's runs only 任务名")] = None, limit: Limit = 20
) -> None:
    """The sync log, newest first. 同步日志。"""
    client = terminal.client
    found = client.act("GET", "jobs", name, "runs", limit=limit) if name else client.ask("GET", "runs", limit=limit)
    terminal.table(found, _RUN_HEADS, map(_run_row, found["items"]), empty="nothing has run yet")


def _run_row(each: dict[str, Any]) -> list[object]:
    times = [moment(each["started_ms"]), moment(each["ended_ms"])]
    return [each["batch_id"], each["job"], each["state"], each["rows"], each["bad_rows"], *times, each["reason"]]


def watch(terminal: Terminal, name: Annotated[str | None, typer.Argument(help="one job only 任务名")] = None) -> None:
    """Show progress live until nothing runs any more; status 1 where a run failed. 实时查看进度。"""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]:>12} rows {task.fields[rate]:>9}/s  {task.fields[state]}"),
        TimeRemainingColumn(),
    )
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=terminal.as_json), transient=terminal.as_json) as progress:
        jobs = _jobs(terminal, name)
        _draw(progress, bars, jobs)
        while any(job["progress"] and job["progress"]["state"] == "running" for job in jobs):
            time.sleep(_POLL_S)
            jobs = _jobs(terminal, name)
            _draw(progress, bars, jobs)
    if terminal.as_json:
        print(dumped({"items": jobs}))
    failed = [job for job in jobs if job["progress"] and job["progress"]["state"] == "failed"]
    if failed:
        raise PlatformError("; ".join(f"job {job['name']} failed: {job['progress']['reason']}" for job in failed))


def _jobs(terminal: Terminal, name: str | None) -> list[Any]:
    return [terminal.client.one("jobs", name)] if name else terminal.client.all("jobs")


def _draw(progress: "Progress", bars: "dict[str, TaskID]", jobs: list[Any]) -> None:
    for job in jobs:
        run = job["progress"] or {"share": 0.0, "rows": 0, "rows_per_s": 0.0, "state": "not run yet"}
        if job["name"] not in bars:
            bars[job["name"]] = progress.add_task(job["name"], total=1.0, rows="", rate="", state="")
        total = None if run["share"] is None and run["state"] == "running" else 1.0
        facts = {"rows": f"{run['rows']:,}", "rate": f"{run['rows_per_s']:,.0f}", "state": run["state"]}
        progress.update(bars[job["name"]], total=total, completed=run["share"] or 0.0, **facts)
