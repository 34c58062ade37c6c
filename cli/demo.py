"""`zhiyun demo`: the command; the story itself is in `cli/demo_story.py`, whose imports help must not wait for."""

import typer

from cli.terminal import Terminal, command


def add(app: typer.Typer) -> None:
    command(app, "demo")(demo)


def demo(terminal: Terminal) -> None:
    """Walk through the whole story on a node of its own, with the sample's six systems. 完整演示,自带示例节点。"""
    from cli.demo_story import tell

    titles = tell(to_stderr=terminal.as_json)
    terminal.result({"chapters": titles}, "")
