"""Where the management API is and with which token it is asked: options, then the environment, then the node's own files."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core.errors import InvalidInput
from core.secret import Secret

DEFAULT_SERVER = "http://127.0.0.1:8081"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Connection:
    """`token_file` is where the token came from, None for the environment; `token` None where there is none."""

    server: str
    token: Secret | None
    token_file: Path | None

    @property
    def is_local(self) -> bool:
        return urlsplit(self.server).hostname in _LOOPBACK


def find(server: str | None, data_dir: Path) -> Connection:
    """The node's own token is sent to the node's own address only; a saved login only to the server it was made at."""
    local = node_address(data_dir)
    chosen = _checked(server or local or DEFAULT_SERVER)
    if token := os.environ.get("ZHIYUN_TOKEN"):
        return Connection(chosen, Secret(token), None)
    own = data_dir / "operator.token"
    if chosen == local and (text := _read(own)):
        return Connection(chosen, Secret(text.strip()), own)
    if token := saved_logins().get(chosen):
        return Connection(chosen, Secret(token), login_file())
    return Connection(chosen, None, None)


def node_address(data_dir: Path) -> str | None:
    """What the node wrote when it started; None where no node has run on this folder."""
    text = _read(data_dir / "node.json")
    try:
        found = json.loads(text or "{}").get("console")
    except (ValueError, AttributeError):
        return None
    return found.rstrip("/") if isinstance(found, str) else None


def login_file() -> Path:
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "zhiyun" / "token"


def saved_logins() -> dict[str, str]:
    """Token by server."""
    try:
        found: Any = json.loads(_read(login_file()) or "{}")
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def save_login(server: str, token: str | None) -> Path:
    """Keep the token, or with None forget it; the file is readable by its owner only."""
    kept = {key: value for key, value in saved_logins().items() if key != server}
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, json.dumps({**kept, **({server: token} if token else {})}))
    return path


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, mode 0600 from its first moment."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _checked(server: str) -> str:
    url = urlsplit(server)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise InvalidInput(f"--server {server}: expected a URL such as {DEFAULT_SERVER}")
    return server.rstrip("/")
