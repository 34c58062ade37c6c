"""The Dockerfile's structure, judged without Docker."""

import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from config.settings import load_settings
from tests.servers.ports import free_port
from tools.source_tree import PACKAGES, ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, lines joined, comments left out."""
    lines = [line for line in TEXT.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines()]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for each in instructions():
        if each[0] == "FROM":
            found.append([])
        found[-1].append(each)
    return found


def arguments(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for instruction, rest in stage if instruction == name]


BUILD, FINAL = stages()


def test_both_stages_stand_on_the_same_slim_python() -> None:
    # The virtual environment is copied from one to the other: its interpreter must be there.
    assert [arguments(stage, "FROM")[0].split()[0] for stage in (BUILD, FINAL)] == ["python:3.11-slim-bookworm"] * 2


def test_libraries_come_from_the_lock_with_hashes_only() -> None:
    installs = [rest for rest in arguments(BUILD, "RUN") if "pip install" in rest]
    assert len(installs) == 1
    assert "--require-hashes -r requirements/runtime.lock" in installs[0]
    assert "pip" not in " ".join(arguments(FINAL, "RUN"))


def test_nothing_is_fetched_by_address() -> None:
    assert "ADD" not in {instruction for instruction, _ in instructions()}
    assert re.findall(r"https?://(?!127\.0\.0\.1)", TEXT) == []


def test_the_image_holds_every_package_and_what_it_copies_exists() -> None:
    copied = [rest.split()[0] for rest in arguments(BUILD, "COPY") if "--from" not in rest]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert {name for name in PACKAGES if list((ROOT / name).glob("*.py"))} - set(copied) == set()
    (compiled,) = (rest for rest in arguments(BUILD, "RUN") if "compileall" in rest)
    assert set(shlex.split(compiled)) >= {path for path in copied if (ROOT / path).is_dir()}


def test_it_runs_as_an_ordinary_user_with_a_health_check() -> None:
    order = [instruction for instruction, _ in FINAL]
    assert order.index("USER") < order.index("ENTRYPOINT") < order.index("CMD")
    (user,) = arguments(FINAL, "USER")
    assert user.partition(":")[0] not in ("root", "0")
    assert "HEALTHCHECK" in order


def test_the_health_check_asks_the_port_it_listens_on() -> None:
    environment = dict(pair.split("=", 1) for rest in arguments(FINAL, "ENV") for pair in shlex.split(rest))
    settings = load_settings(None, environment, {})
    (check,) = arguments(FINAL, "HEALTHCHECK")
    assert check.endswith('CMD ["/opt/zhiyun/zhiyun", "health"]'), "it asks where these settings say"
    assert set(arguments(FINAL, "EXPOSE")[0].split()) == {str(settings.http.port), str(settings.console.port)}
    assert str(settings.data_dir) in arguments(FINAL, "VOLUME")


@pytest.mark.parametrize("name", ["title", "version", "licenses"])
def test_it_is_labelled(name: str) -> None:
    assert f"org.opencontainers.image.{name}=" in arguments(FINAL, "LABEL")[0]


def test_the_checkout_s_own_state_stays_outside() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", "data", "tests"} <= set(ignored)


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    """What the image holds, in a folder: the copied files, and a `.venv` with the same libraries."""
    folder = tmp_path / "zhiyun"
    for rest in arguments(BUILD, "COPY"):
        *sources, target = rest.split()
        for source in sources:
            place = folder / (source if target in (".", "./") else target)
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / source, place)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.mark.slow
def test_what_is_copied_is_enough_to_run_a_node(laid_out: Path, tmp_path: Path) -> None:
    data, http, console = tmp_path / "data", f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    data.mkdir()
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ZHIYUN_DATA_DIR": str(data),
        "ZHIYUN_HTTP": http,
        "ZHIYUN_CONSOLE": console,
    }
    launcher = str(laid_out / "zhiyun")
    with (tmp_path / "log").open("w") as log:
        node = subprocess.Popen([launcher, "up"], cwd=data, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    with node:
        try:
            answers = [_answer(f"http://{address}/{path}") for address, path in ((http, "healthz"), (console, "login"))]
            words = ("doctor", "health")
            checked = [
                subprocess.run([launcher, word], cwd=data, env=environment, capture_output=True, text=True, check=False)
                for word in words
            ]
        finally:
            node.terminate()
        assert node.wait(timeout=60) == 0
    assert answers == [200, 200]
    assert [each.returncode for each in checked] == [0, 0], [each.stdout + each.stderr for each in checked]
    gone = subprocess.run([launcher, "health"], cwd=data, env=environment, capture_output=True, text=True, check=False)
    assert (gone.returncode, "unhealthy: gateway, back office" in gone.stderr) == (1, True)


def _answer(url: str) -> int:
    """The status, as soon as there is one."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            return httpx.get(url).status_code
        except httpx.TransportError:
            time.sleep(0.1)
    return 0
