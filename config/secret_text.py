"""How a secret may be written: plain, `env:NAME`, `file:/path`, or `sealed:…` (encrypted by the registry, passed on untouched)."""

from collections.abc import Mapping
from pathlib import Path

MAX_BYTES = 64 * 1024
SEALED = "sealed:"


def resolve(text: str, variables: Mapping[str, str], folder: Path) -> str:
    """The secret itself, where the text names a variable or a file (a relative one is beside the document, in `folder`).

    Raises ValueError that names the variable or the file, never its content.
    """
    kind, separator, name = text.partition(":")
    if separator and kind == "env":
        if not variables.get(name):
            raise ValueError(f"environment variable {name} is not set or empty")
        return variables[name]
    return _content(folder / name) if separator and kind == "file" else text


def _content(path: Path) -> str:
    """The file's text without the line end that editors add."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ValueError(f"secret file {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_BYTES:
        raise ValueError(f"secret file {path} is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"secret file {path} is not UTF-8 text") from None
    if not text:
        raise ValueError(f"secret file {path} is empty")
    return text


def only_resolved(text: str) -> str:
    """For a document that came over the network: refuse a reference, which only the sender's machine could resolve."""
    if text.startswith(("env:", "file:")):
        raise ValueError(
            f"'{text.partition(':')[0]}:' is resolved where the document is loaded (zhiyun apply); send the secret itself"
        )
    return text
