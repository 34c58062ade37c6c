"""An adapter with secrets in every place they may stand, and a document that uses it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from core.adapter import Adapter, Connection
from core.secret import Secret


class Login(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="login"):
    user: str
    password: Secret


class Anonymous(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="anonymous"):
    pass


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    password: Secret
    port: int = 1433
    api_key: Secret | None = None
    headers: dict[str, Secret] = {}
    auth: Login | Anonymous | None = None


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    statement: str = ""
    file_password: Secret | None = None


def _open(_: Any) -> Connection:
    raise AssertionError("the registry never opens a source")


ADAPTERS: Mapping[str, Adapter] = {
    name: Adapter(name, name, Settings, Options, frozenset({"read", "lookup", "write", "call"}), _open) for name in ("crm", "erp")
}

SECRETS = ("s3cret-password", "s3cret-api-key", "s3cret-header", "s3cret-login", "s3cret-file")


def document() -> dict[str, Any]:
    """A fresh copy each time."""
    return {
        "version": 1,
        "plans": {"gold": {"per_s": 100, "burst": 20}},
        "proxies": {"partner": {"title": "渠道伙伴"}},
        "apps": {
            "shop": {"plan": "gold", "scopes": ["customers:read"], "title": "小程序"},
            "broker": {"plan": "gold", "proxy": "partner", "scopes": ["customers:read"]},
        },
        "sources": {"sales": source()},
        "services": {"customers": {"kind": "asynchronous", "dataset": "sales.customer"}},
        "jobs": {"sales-customer": {"dataset": "sales.customer", "mode": "full"}},
    }


def bytes_on_disk(folder: Path) -> bytes:
    """Everything that any file of the folder holds."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


def source() -> dict[str, Any]:
    return {
        "adapter": "crm",
        "settings": {
            "host": "10.0.0.5",
            "password": SECRETS[0],
            "api_key": SECRETS[1],
            "headers": {"X-Key": SECRETS[2]},
            "auth": {"type": "login", "user": "sa", "password": SECRETS[3]},
        },
        "datasets": {
            "customer": {
                "object": "dbo.Customer",
                "key": ["id"],
                "fields": {"id": "text", "mobile": "text"},
                "options": {"file_password": SECRETS[4]},
            }
        },
    }
