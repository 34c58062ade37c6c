"""`zhiyun up`: checks the settings, then becomes the supervisor, so that nothing of the command line stays in memory."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import PlatformError

_DEFAULT_CONFIG = Path("zhiyun.yaml")
SAMPLES = ("estate",)


def add(app: typer.Typer) -> None:
    app.command("up")(up)


def up(
    config: Annotated[Path | None, typer.Option("--config", help="settings file; zhiyun.yaml where there is one 配置文件")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="where the node keeps its files 数据目录")] = None,
    http: Annotated[str | None, typer.Option("--http", help="gateway's host:port 网关地址")] = None,
    channel: Annotated[str | None, typer.Option("--channel", help="long-lived connections' host:port 长连接地址")] = None,
    console: Annotated[str | None, typer.Option("--console", help="console's and API's host:port 控制台地址")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="gateway processes 网关进程数")] = None,
    sample: Annotated[str | None, typer.Option("--sample", help="start with sample systems: estate 示例数据")] = None,
) -> None:
    """Start a node and stay with it until Ctrl-C. 启动节点,按 Ctrl-C 停止。"""
    if sample is not None and sample not in SAMPLES:
        raise typer.BadParameter(f"there is no sample '{sample}'; there is {', '.join(SAMPLES)}", param_hint="--sample")
    from config.settings import load_settings, to_json

    overrides = {"data_dir": data_dir, "http": http, "channel": channel, "console": console, "workers": workers}
    path = config or (_DEFAULT_CONFIG if _DEFAULT_CONFIG.is_file() else None)
    try:
        settings = load_settings(path, os.environ, overrides)
    except PlatformError as error:
        print("\n".join(f"zhiyun: {line}" for line in error.detail.splitlines()), file=sys.stderr)
        raise typer.Exit(1) from None
    environment = {**os.environ, "ZHIYUN_SETTINGS_JSON": to_json(settings)}
    command = [sys.executable, "-m", "server.supervisor", *(["--sample", sample] if sample else [])]
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606  # our own interpreter, no shell
