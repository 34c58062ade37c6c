"""The overview as HTML, section by section. Pure; whatever comes from outside is escaped."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from console.api.messages import Node, Overview, Progress, StoredJob
from console.web.texts import Texts
from core.stores import Run

_TONES = {"succeeded": "good", "running": "live", "partial": "warn", "failed": "bad", "cancelled": "calm", "paused": "calm"}


def number(value: float) -> str:
    """Thousands apart; a decimal only below 100."""
    return f"{value:,.1f}" if 0 < value < 100 and value != int(value) else f"{value:,.0f}"


def tiles(overview: Overview, text: Texts) -> str:
    """The figures at the top."""
    live = [node for node in overview.nodes if node.is_live]
    behind = sum(not node.is_current for node in live)
    running = sum(job.progress is not None and job.progress.state == "running" for job in overview.jobs)
    waiting = sum(overview.quarantine.values())
    p99 = max((node.report.p99_ms for node in live if node.report.role == "gateway"), default=0.0)
    revision = overview.revision
    nodes_note = text("behind", count=behind, revision=revision) if behind else text("all_current", revision=revision)
    quarantine_note = text("in_datasets", count=len(overview.quarantine)) if waiting else text("none_waiting")
    bus_note = text("waiting", count=number(sum(overview.bus.depth.values())))
    return "".join(
        (
            _tile(text("requests"), number(overview.requests_per_s), text("slowest", p99=number(p99)), "accent"),
            _tile(text("nodes"), f"{len(live)}/{len(overview.nodes)}", nodes_note, _tone(bad=len(live) < len(overview.nodes))),
            _tile(text("running"), number(running), text("of_jobs", count=len(overview.jobs)), "live" if running else ""),
            _tile(text("quarantine"), number(waiting), quarantine_note, _tone(warn=waiting > 0)),
            _tile(text("dead_letters"), number(overview.bus.dead_letters), bus_note, _tone(bad=overview.bus.dead_letters > 0)),
        )
    )


def _tone(*, bad: bool = False, warn: bool = False) -> str:
    return "bad" if bad else "warn" if warn else ""


def _tile(label: str, figure: str, note: str, tone: str) -> str:
    return f'<div class="tile {tone}"><small>{escape(label)}</small><b>{escape(figure)}</b><span>{escape(note)}</span></div>'


def health(overview: Overview, text: Texts) -> str:
    """Each part with what is wrong with it."""
    lines = []
    for name, state in overview.parts.items():
        is_ok = state == "ok"
        shown = text("ok") if is_ok else state
        lines.append(f'<li class="{"good" if is_ok else "bad"}"><i></i><b>{escape(name)}</b><span>{escape(shown)}</span></li>')
    return f'<ul class="parts">{"".join(lines)}</ul>'


def jobs(overview: Overview, text: Texts) -> str:
    """Every job with its bar."""
    if not overview.jobs:
        return _empty(text("no_jobs"))
    heads = ("job", "state", "progress", "rows", "bad", "rate", "batch", "reason")
    return _table([text(key) for key in heads], (_job(job, text) for job in overview.jobs))


def _job(job: StoredJob, text: Texts) -> Sequence[str]:
    title = str(job.body.get("title") or job.body.get("dataset", ""))
    name = f"<b>{escape(job.name)}</b><small>{escape(title)}</small>"
    run = job.progress
    if run is None:
        key = "state_never" if job.body.get("enabled", True) else "state_disabled"
        return (name, _badge(text(key), "calm"), _bar(None), "", "", "", "", "")
    bad = f'<span class="warn-text">{number(run.bad_rows)}</span>' if run.bad_rows else "0"
    rows = number(run.rows) + (f"<small>/ {number(run.expected)}</small>" if run.expected and run.state == "running" else "")
    return (
        name,
        _badge(text(f"state_{run.state}"), _TONES[run.state]),
        _bar(run),
        rows,
        bad,
        number(run.rows_per_s),
        f"<code>{escape(run.batch_id)}</code>",
        f'<span class="reason">{escape(run.reason)}</span>',
    )


def _bar(run: Progress | None) -> str:
    """An unknown total moves while it runs; a finished run is a whole bar in its state's colour."""
    if run is None:
        return '<div class="bar"></div>'
    tone = _TONES[run.state]
    if run.share is None and run.state == "running":
        return f'<div class="bar {tone} unknown"><i></i></div>'
    share = 1.0 if run.share is None and run.state != "failed" else run.share or 0.0
    return f'<div class="bar {tone}"><i style="width:{share * 100:.1f}%"></i><em>{share * 100:.0f} %</em></div>'


def runs(overview: Overview, text: Texts) -> str:
    """The end of the sync log."""
    if not overview.runs:
        return _empty(text("no_runs"))
    heads = ("batch", "job", "state", "rows", "bad", "started", "took")
    return _table([text(key) for key in heads], (_run(run, text) for run in overview.runs))


def _run(run: Run, text: Texts) -> Sequence[str]:
    started = datetime.fromtimestamp(run.started_ms / 1000).astimezone()
    took = f"{(run.ended_ms - run.started_ms) / 1000:.1f} s" if run.ended_ms else "…"
    return (
        f"<code>{escape(run.batch_id)}</code>",
        escape(run.job),
        _badge(text(f"state_{run.state}"), _TONES[run.state]),
        number(run.rows),
        number(run.bad_rows),
        f"{started:%H:%M:%S}",
        took,
    )


def nodes(overview: Overview, text: Texts, now_ms: int) -> str:
    """Each process with the configuration revision it runs."""
    if not overview.nodes:
        return _empty(text("no_nodes"))
    heads = ("node", "role", "revision", "requests", "seen")
    return _table([text(key) for key in heads], (_node(node, text, now_ms) for node in overview.nodes))


def _node(node: Node, text: Texts, now_ms: int) -> Sequence[str]:
    report = node.report
    tone = "good" if node.is_live and node.is_current else "warn" if node.is_live else "bad"
    dot = f'<span class="dot {tone}"></span>'
    seen = text("ago", seconds=max(0, round((now_ms - report.seen_ms) / 1000)))
    return (
        f"{dot}<b>{escape(report.node)}</b><small>pid {report.pid}</small>",
        escape(text(report.role)),
        _badge(str(report.revision), "good" if node.is_current else "warn"),
        number(report.requests_per_s),
        escape(seen),
    )


def _badge(label: str, tone: str) -> str:
    return f'<span class="badge {tone}">{escape(label)}</span>'


def _empty(message: str) -> str:
    return f'<p class="empty">{escape(message)}</p>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Heads are escaped here; cells are HTML already."""
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for cells in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
