"""Two adapters of the tests' own, shaped like real ones, and a platform document that is right."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from core.adapter import Ability, Adapter, Connection
from core.secret import Secret


class Basic(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="basic"):
    user: str
    password: Secret


class Bearer(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="bearer"):
    token: Secret


class Operation(Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    method: Literal["GET", "POST"] = "GET"


class WebSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """An interface: unions, nested Structs, mappings."""

    url: str
    auth: Basic | Bearer | None = None
    operations: dict[str, Operation] = {}
    headers: dict[str, Secret] = {}


class WebOptions(Struct, frozen=True, forbid_unknown_fields=True):
    items: str | None = None


class TableSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A database: numbers with bounds, a secret, a rule of its own."""

    host: str
    database: str
    user: str
    password: Secret
    port: Annotated[int, Meta(ge=1, le=65535)] = 1433
    encrypt: bool = True
    timeout_s: Annotated[float, Meta(gt=0)] = 10.0

    def __post_init__(self) -> None:
        if self.host == self.database:
            raise ValueError("host and database are the same")


class TableOptions(Struct, frozen=True, forbid_unknown_fields=True):
    schema: Annotated[str, Meta(min_length=1)] = "dbo"


class FileSettings(Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    user: str
    password: Secret
    port: int = 21


class FileOptions(Struct, frozen=True, forbid_unknown_fields=True):
    stable_s: float = 0.0


def _adapter(name: str, settings: type[Struct], options: type[Struct], *abilities: Ability) -> Adapter:
    def never_opened(_: Any) -> Connection:
        raise AssertionError("checking a document opens no connection")

    return Adapter(name, name.title(), settings, options, frozenset(abilities), never_opened)


ADAPTERS = {
    "sqlserver": _adapter("sqlserver", TableSettings, TableOptions, "read", "lookup", "write"),
    "ftp": _adapter("ftp", FileSettings, FileOptions, "read"),
    "http_json": _adapter("http_json", WebSettings, WebOptions, "read", "call"),
}

PLATFORM = """\
version: 1
plans:
  standard: {per_s: 50, burst: 100}
proxies:
  agency: {addresses: [10.2.0.0/16, "2001:db8::/32"]}
apps:
  shop:
    plan: standard
    proxy: agency
    scopes: [customers:read, deals:write, points:read]
    addresses: [203.0.113.7]
sources:
  crm:
    adapter: sqlserver
    settings:
      host: db.example
      port: ${CRM_PORT:-1433}
      database: crm
      user: zhiyun
      password: env:CRM_PASSWORD
    datasets:
      customers:
        object: dbo.Customer
        key: [customer_id]
        cursor: updated_at
        indexes: [mobile]
        options: {schema: sales}
        fields:
          customer_id: integer
          name: {type: text, max_length: 50}
          mobile: text
          updated_at: {type: datetime, from: ModifiedAt}
  drops:
    adapter: ftp
    settings: {host: ftp.example, user: zhiyun, password: "sealed:abc"}
    datasets:
      tickets:
        object: /daily/*.txt
        key: [id]
        format: {type: fixed_width, encoding: gb18030}
        fields:
          id: {type: integer, width: 8}
          text: {width: 40}
  web:
    adapter: http_json
    settings:
      url: http://127.0.0.1:9000
      auth: {kind: bearer, token: hidden}
      operations:
        points: {path: "/points/{id}"}
services:
  customers: {kind: asynchronous, dataset: crm.customers, filters: [mobile], source_reads: true}
  deals: {kind: synchronous, dataset: crm.customers, writable: [name]}
  points: {kind: realtime, call: {source: web, operation: points, key: id}}
jobs:
  customers: {dataset: crm.customers, schedule: {cron: "0 23 * * *"}}
  tickets: {dataset: drops.tickets, mode: incremental, schedule: {every_s: 60}}
"""

VARIABLES = {"CRM_PASSWORD": "s3cret-word"}


def without(text: str, *parts: str) -> str:
    """The text with each part, which must be there, removed."""
    for part in parts:
        assert part in text, f"{part!r} is not in the sample"
        text = text.replace(part, "", 1)
    return text


def swapped(text: str, old: str, new: str) -> str:
    """The text with one part, which must be there, replaced."""
    assert old in text, f"{old!r} is not in the sample"
    return text.replace(old, new, 1)


def line_of(text: str, part: str) -> int:
    """The line, from 1, on which the part first stands."""
    return text[: text.index(part)].count("\n") + 1
