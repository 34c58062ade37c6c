"""OpenAPI 3.1 of the API: the framework's description of the paths, with the schemas of our own Structs put in."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from config.model import KINDS
from config.schema import custom_type
from console.api import messages
from core.bus import Replayed
from core.incidents import Incident
from core.purges import Purge
from core.sessions import AppSession, Revocation
from core.stores import AuditEntry, Reconciliation, Run, SchemaReport
from exchange.formats.detect import Detected
from gateway.usage import UsageReport

_PROBLEM = {
    "type": "object",
    "title": "Problem (RFC 9457)",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:zhiyun:problem:not_found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "problems": {
            "type": "array",
            "items": {"type": "object", "properties": {"path": {"type": "string"}, "text": {"type": "string"}}},
        },
    },
}


def _message_types() -> list[Any]:
    own = vars(messages).values()
    return [each for each in own if isinstance(each, type) and issubclass(each, msgspec.Struct) and each is not msgspec.Struct]


def schemas() -> dict[str, Any]:
    """Every schema that the paths refer to, by its name."""
    stored = [
        Run,
        SchemaReport,
        Detected,
        Replayed,
        Reconciliation,
        Incident,
        AuditEntry,
        AppSession,
        Revocation,
        Purge,
        UsageReport,
    ]
    types = [part for _, part in KINDS.values()] + [*_message_types(), *stored]
    _, components = msgspec.json.schema_components(types, schema_hook=custom_type, ref_template="#/components/schemas/{name}")
    return {**components, "Problem": _PROBLEM}


def describe(app: FastAPI) -> None:
    """Make `/openapi.json` ours; it is built at the first request."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = get_openapi(
                title=app.title, version=app.version, openapi_version="3.1.0", description=app.description, routes=app.routes
            )
            _complete(described)
            app.openapi_schema = described
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's documented way


def _complete(described: dict[str, Any]) -> None:
    """Our schemas in, the framework's own form of errors out: every error is a Problem."""
    components = described.setdefault("components", {})
    components["schemas"] = schemas()
    failed = {"description": "Refused or failed", "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    for path in described["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = failed


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
