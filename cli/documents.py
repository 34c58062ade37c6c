"""The platform document: `apply`, `diff`, `export`, `rollback`, and for its author `init` and `schema`."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import Terminal, command, dumped
from core.errors import Conflict, InvalidInput, PlatformError

File = Annotated[Path, typer.Option("-f", "--file", help="the platform document 平台声明文件")]
Prune = Annotated[bool, typer.Option("--prune", help="delete what the file lacks 删除文件中没有的资源")]
Values = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="a ${NAME} of the file 变量")]
_PLATFORM = Path("platform.yaml")
_SIGNS = {"create": "+", "update": "~", "delete": "-"}


def add(app: typer.Typer) -> None:
    command(app, "apply")(apply)
    command(app, "diff")(diff)
    command(app, "export")(export)
    command(app, "rollback")(rollback)
    command(app, "init")(init)
    command(app, "schema")(schema)


def installed_adapters() -> Any:
    """With the plug-ins that ZHIYUN_PLUGINS names."""
    from adapters.loader import load_adapters

    return load_adapters([name.strip() for name in os.environ.get("ZHIYUN_PLUGINS", "").split(",") if name.strip()])


def variables_of(values: list[str] | None) -> dict[str, str]:
    """The environment, and over it what `--set` gives. Raises InvalidInput."""
    variables = dict(os.environ)
    for text in values or ():
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidInput(f"--set {text}: write NAME=VALUE")
        variables[name] = value
    return variables


def _load(path: Path, values: list[str] | None) -> dict[str, Any]:
    """Read and checked here, so that what is wrong is told with its file and line."""
    from config.load import load_platform

    return load_platform(path, variables_of(values), installed_adapters())


def _show(terminal: Terminal, found: dict[str, Any], done: str, nothing: str) -> None:
    if terminal.as_json:
        print(dumped(found))
        return
    for each in found["changes"]:
        fields = f": {', '.join(each['fields'])}" if each["fields"] else ""
        print(f"{_SIGNS[each['action']]} {each['kind']} {each['name']}{fields}")
    counts = f"{len(found['changes'])} to change" if found["dry_run"] else f"{len(found['changes'])} changed"
    summary = f"{done}: {counts}, {found['unchanged']} unchanged, revision {found['revision']}"
    print(summary if found["changes"] else f"{nothing}: {found['unchanged']} unchanged, revision {found['revision']}")


def apply(
    terminal: Terminal,
    file: File = _PLATFORM,
    prune: Prune = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show what would change 只看不改")] = False,
    values: Values = None,
) -> None:
    """Make the platform what the file says, all or nothing. 按声明文件生效。"""
    body = {"document": _load(file, values), "prune": prune, "dry_run": dry_run}
    found = terminal.client.ask("POST", "apply", body)
    _show(terminal, found, "would apply" if dry_run else "applied", "nothing to do")


def diff(terminal: Terminal, file: File = _PLATFORM, prune: Prune = False, values: Values = None) -> None:
    """Show what apply would change. 比较声明文件与现状。"""
    found = terminal.client.ask("POST", "diff", {"document": _load(file, values), "prune": prune})
    _show(terminal, found, "differs", "no difference")


def export(
    terminal: Terminal,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="write there, not to the screen 输出文件")] = None,
) -> None:
    """The whole platform as a document, secrets sealed; an installation with the same master key applies it. 导出声明。"""
    document = terminal.client.ask("GET", "export")
    text = dumped(document) if terminal.as_json else _yaml(document)
    if file is None:
        print(text, end="" if text.endswith("\n") else "\n")
        return
    _write_new(file, text)
    terminal.result({"file": str(file)}, f"written to {file}")


def rollback(
    terminal: Terminal,
    revision: Annotated[int, typer.Argument(metavar="REVISION", min=0, help="see zhiyun audit 版本号")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show what would change 只看不改")] = False,
) -> None:
    """Make everything declared what it was at an earlier revision. Keys and users stay. 回滚到先前版本。"""
    found = terminal.client.ask("POST", "rollback", {"revision": revision, "dry_run": dry_run})
    _show(terminal, found, "would roll back" if dry_run else "rolled back", "nothing to do")


def _yaml(document: Any) -> str:
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 130
    out = StringIO()
    yaml.dump(json.loads(json.dumps(document)), out)
    return out.getvalue()


def init(terminal: Terminal, file: Annotated[Path, typer.Argument(help="file to write 要写的文件")] = _PLATFORM) -> None:
    """Write a commented platform document to start from. 生成带注释的起步声明文件。"""
    from config.starter import starter_text

    _write_new(file, starter_text())
    terminal.result({"file": str(file)}, f"written to {file}; edit it, then: zhiyun diff -f {file} and zhiyun apply -f {file}")


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise Conflict(f"{file} is there already and was not touched; name another file") from error
    except OSError as error:
        raise PlatformError(f"{file}: {error.strerror}; choose another place", code="not_written") from error


def schema(terminal: Terminal) -> None:
    """Print the JSON Schema of the platform document, for editors. 输出声明文件的 JSON Schema。"""
    from config.schema import json_schema

    print(dumped(json_schema(installed_adapters())))
