"""JSON in and out of the API, through msgspec, and how both are told to OpenAPI."""

from typing import Any, TypeVar

import msgspec
from fastapi import Request
from starlette.responses import Response

from core.errors import InvalidInput

T = TypeVar("T")
MAX_BODY_BYTES = 4 * 1024 * 1024
MEDIA_TYPE = "application/json"


class Json(Response):
    """An answer of Structs and plain values; bytes are written as base64."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


async def read_bytes(request: Request) -> bytes:
    """The whole body. InvalidInput (413) above 4 MiB, without reading on."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise InvalidInput(f"the body is larger than {MAX_BODY_BYTES} bytes", code="payload_too_large")
    return bytes(body)


async def read_json(request: Request, kind: type[T], *, default: T | None = None) -> T:
    """The body as a Struct; `default` stands for an empty one. InvalidInput says which field is wrong."""
    raw = await read_bytes(request)
    if not raw and default is not None:
        return default
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"request body: {error}") from error


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object of any content."""
    return await read_json(request, dict[str, Any])


def takes(name: str, *, required: bool = True, media_type: str = MEDIA_TYPE) -> dict[str, Any]:
    """`openapi_extra` of an endpoint whose body is the schema of this name."""
    return {"requestBody": {"required": required, "content": {media_type: {"schema": _ref(name)}}}}


def gives(name: str, *, status: int = 200, many: bool = False) -> dict[int | str, dict[str, Any]]:
    """`responses` of an endpoint that answers the schema of this name, or `{"items": […]}` of it."""
    items = {"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": _ref(name)}}}
    return {status: {"description": "Done", "content": {MEDIA_TYPE: {"schema": items if many else _ref(name)}}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
