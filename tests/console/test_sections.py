"""The page's HTML: whatever comes from outside is escaped, every state has its words in both languages."""

from typing import Any, get_args

import pytest

from console.api.jobs import progress
from console.api.messages import BusState, Node, Overview, StoredJob
from console.web import sections
from console.web.texts import LANGUAGES, Language, Texts
from core.stores import NodeReport, Run, RunState

EVIL = "<script>alert(1)</script>"


def _overview(**changes: Any) -> Overview:
    runs = [Run("SYNC1", EVIL, state, started_ms=0, ended_ms=9, rows=5, reason=EVIL) for state in get_args(RunState)]
    jobs = [StoredJob(EVIL, 1, 0, {"dataset": EVIL, "title": EVIL}, progress(run, 10)) for run in runs]
    known: dict[str, Any] = {
        "version": "0.1.0",
        "gateway_url": "",
        "revision": 3,
        "parts": {"bus": EVIL, "database": "ok"},
        "nodes": [Node(NodeReport(EVIL, "gateway", 1, 0, 0, 2), True, False)],
        "requests_per_s": 1234.5,
        "traffic": [],
        "jobs": [*jobs, StoredJob("new", 1, 0, {}), StoredJob("off", 1, 0, {"enabled": False})],
        "quarantine": {"a.b": 3},
        "bus": BusState({"mirror": 4}, 1),
        "runs": runs,
    }
    return Overview(**{**known, **changes})


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_from_outside_is_html(language: Language) -> None:
    overview, text = _overview(), Texts(language)
    drawn = [part(overview, text) for part in (sections.tiles, sections.health, sections.jobs, sections.runs)]
    drawn.append(sections.nodes(overview, text, 1000))
    assert "<script>" not in "".join(drawn)
    assert "&lt;script&gt;" in "".join(drawn)


def test_an_empty_platform_says_so() -> None:
    overview, text = _overview(jobs=[], runs=[], nodes=[]), Texts("zh")
    assert "尚未声明任务" in sections.jobs(overview, text)
    assert "尚无运行记录" in sections.runs(overview, text)
    assert "尚无进程上报" in sections.nodes(overview, text, 0)


def test_figures() -> None:
    assert [sections.number(value) for value in (0, 7, 12.34, 1234.5, 61300)] == ["0", "7", "12.3", "1,234", "61,300"]
    tiles = sections.tiles(_overview(), Texts("en"))
    assert "1 behind revision 3" in tiles
    assert "4 envelopes on the bus" in tiles
