"""The platform document that `zhiyun init` writes: a commented start for one's own systems."""

from pathlib import Path

_FILE = Path(__file__).with_name("starter.yaml")


def starter_text(schema: str | None = None) -> str:
    """The text of a new `platform.yaml`. `schema` is the path or URL of the JSON Schema, named in a line that editors read."""
    text = _FILE.read_text(encoding="utf-8")
    return f"# yaml-language-server: $schema={schema}\n{text}" if schema else text
