"""Errors → `application/problem+json` (RFC 9457), in the gateway's form; a refused document also lists its problems."""

from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from config.problem import InvalidDocument
from core.errors import ConfigError, InvalidInput, Limited, NotFound, PlatformError, Unauthenticated
from gateway.problems import status_of

_log = structlog.get_logger("console.api")
MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: ("The request can't be understood or is not allowed as it stands", "请求有误"),
    401: ("Who is calling is not known", "身份未认证"),
    403: ("This user may not do that", "没有权限"),
    404: ("There is no such thing here", "资源不存在"),
    405: ("This method is not offered here", "不支持的方法"),
    409: ("The request conflicts with the present state", "请求与当前状态冲突"),
    412: ("The resource has changed since it was read", "资源已被修改"),
    413: ("The request is too large", "请求过大"),
    422: ("The document or resource is not valid", "声明内容无效"),
    429: ("Too many attempts", "尝试过于频繁"),
    500: ("The platform failed", "平台内部错误"),
    503: ("A part of the platform or a source is not available", "服务暂不可用"),
    504: ("The answer took too long", "请求超时"),
}


def request_id(request: Request) -> str:
    """The id that this request's answer and log lines carry."""
    return str(getattr(request.state, "request_id", ""))


def status(error: PlatformError) -> int:
    """As the gateway's; what is declared wrongly is the caller's to mend here: 422."""
    return 422 if isinstance(error, ConfigError) else status_of(error)


def problem(error: PlatformError, request: Request) -> Response:
    """`{"type", "title", "status", "code", "detail", "request_id"}`; `problems: [{path, text}]` for a refused document."""
    number = status(error)
    is_chinese = request.headers.get("accept-language", "").lower().startswith("zh")
    body: dict[str, Any] = {
        "type": f"urn:zhiyun:problem:{error.specific_code}",
        "title": _TITLES[number][is_chinese],
        "status": number,
        "code": error.specific_code,
        "detail": error.detail,
        "request_id": request_id(request),
    }
    if isinstance(error, InvalidDocument):
        body["problems"] = [{"path": ".".join(each.path), "text": each.text} for each in error.problems]
    headers = {"Content-Language": "zh" if is_chinese else "en"}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="zhiyun"'  # RFC 6750 §3
    if isinstance(error, Limited):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s + 0.5)))
    return Response(msgspec.json.encode(body), number, headers, MEDIA_TYPE)


async def _platform_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)
    return problem(error, request)


async def _http_error(request: Request, error: Exception) -> Response:
    """What the framework refuses itself: an unknown path, a method not offered."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(NotFound(f"there is nothing at {request.url.path}; see /docs"), request)
    if error.status_code == 405:
        code = "method_not_allowed"
        return problem(InvalidInput(f"{request.method} is not offered at {request.url.path}; see /docs", code=code), request)
    return problem(InvalidInput(str(error.detail)), request)


async def _bad_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    texts = [f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()]
    return problem(InvalidInput("; ".join(texts)), request)


async def _unforeseen(request: Request, error: Exception) -> Response:
    """A fault of ours: logged under the id that the caller is given, which learns no more."""
    _log.error("request failed", request_id=request_id(request), path=request.url.path, exc_info=error)
    return problem(PlatformError("internal error; the log has it under this request id"), request)


def handle_errors(app: FastAPI) -> None:
    """Let no error leave the API in another form."""
    app.add_exception_handler(PlatformError, _platform_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_parameters)
    app.add_exception_handler(Exception, _unforeseen)
