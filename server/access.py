"""Who may do what: the registry and what hangs on it, and what the very first start makes."""

import os
from dataclasses import dataclass

import msgspec

from core.secret import Secret
from registry.credentials import Credentials
from registry.registry import Registry
from registry.tokens import SigningKeys
from registry.users import FIRST_OPERATOR, Users
from server.parts import Parts

_TOKEN_S = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Access:
    """Who may do what: the registry and what hangs on it. `new_password` is the operator's, at the very first start only."""

    registry: Registry
    credentials: Credentials
    users: Users
    new_password: str | None


async def open_access(parts: Parts) -> Access:
    """Make what the first start needs: signing key, operator, and the token file of the local command line."""
    await SigningKeys(parts.resources, parts.vault).ensure()
    users = Users(parts.resources, parts.database)
    made = await users.ensure_operator()
    await _write_token(parts, users)
    credentials = Credentials(parts.resources, parts.vault)
    registry = Registry(parts.resources, parts.vault, parts.adapters)
    return Access(registry, credentials, users, made.reveal() if made else None)


async def _write_token(parts: Parts, users: Users) -> None:
    """For `zhiyun` commands of whoever may read the data folder; renewed at each start, and the one before ends."""
    folder = parts.settings.data_dir
    path = folder / "operator.token"
    if path.exists():
        await users.logout(Secret(path.read_text().strip()))
    token = await users.issue_token(FIRST_OPERATOR, ttl_s=_TOKEN_S)
    _write(path, token.reveal().encode())
    facts = {"console": f"http://{parts.settings.console}", "gateway": parts.settings.public_url}
    _write(folder / "node.json", msgspec.json.encode(facts))


def _write(path: os.PathLike[str], content: bytes) -> None:
    draft = f"{os.fspath(path)}.{os.getpid()}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    os.replace(draft, path)
