"""What the person who starts a node reads, and the lines they are asked to paste."""

import subprocess
from pathlib import Path

import pytest

from config.address import Address
from config.settings import Settings
from server import banner

SETTINGS = Settings(
    data_dir=Path("data"), http=Address("127.0.0.1", 9080), console=Address("127.0.0.1", 9081), public_url="http://127.0.0.1:9080"
)


def test_the_first_start_shows_the_password_and_the_sample_s_lines(capsys: pytest.CaptureFixture[str]) -> None:
    banner.ready(SETTINGS, {"password": "once-only", "sample": {"key": "ak_1", "secret": "s3cret"}})
    text = capsys.readouterr().out
    assert "is ready 已就绪" in text
    assert "http://127.0.0.1:9081" in text
    assert "operator / once-only" in text
    assert "AppKey ak_1   AppSecret s3cret" in text
    assert all(line in text for line in banner.curl_lines("http://127.0.0.1:9080", "ak_1", "s3cret"))


def test_a_later_start_shows_no_secret_and_no_part_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    banner.ready(Settings(roles=("back-office",), console=Address("127.0.0.1", 9081)), {"password": None, "sample": None})
    text = capsys.readouterr().out
    assert "password shown at the first start" in text
    assert "Gateway" not in text
    assert "AppKey" not in text


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"job": "rooms", "state": "succeeded", "rows": 1200, "bad": 0}, "rooms 1,200 rows succeeded"),
        ({"job": "rooms", "state": "partial", "rows": 1, "bad": 3}, "rooms 1 rows partial, 3 bad rows in quarantine 隔离"),
        ({"job": "rooms", "state": "failed", "rows": 0, "bad": 0, "reason": "no route"}, "rooms 0 rows failed — no route"),
        ({"job": "rooms", "state": "running", "rows": 5, "bad": 0, "expected": 10, "reason": ""}, ""),
    ],
)
def test_progress_without_a_terminal_prints_only_how_a_job_ended(
    capsys: pytest.CaptureFixture[str], event: dict[str, object], told: str
) -> None:
    banner.Progress().show({"reason": "", **event})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "First load 首次采集"
    assert " ".join(" ".join(lines[1:]).split()) == told


def test_the_lines_to_paste_are_shell_that_parses() -> None:
    lines = banner.curl_lines("http://127.0.0.1:9080", "ak_1", "s3cret")
    assert len(lines) == 4
    for line in lines:
        assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0
