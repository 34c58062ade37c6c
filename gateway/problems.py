"""Errors → `application/problem+json` (RFC 9457). The only place that knows status codes for them."""

import math

import msgspec

from core.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    Limited,
    NotConnected,
    NotFound,
    PlatformError,
    Unauthenticated,
    Unavailable,
)
from gateway.http1.message import has_told
from gateway.stage import Request, Response

_STATUS: dict[type[PlatformError], int] = {
    InvalidInput: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Limited: 429,
    NotConnected: 503,
    Unavailable: 503,
    DeadlineExceeded: 504,
}
_STATUS_OF_CODE = {
    "read_only": 405,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "etag_mismatch": 412,
    "payload_too_large": 413,
    "target_too_long": 414,
    "unsupported_media_type": 415,
    "expectation_failed": 417,
    "idempotency_key_reused": 422,
    "body_invalid": 422,
    "upgrade_required": 426,
    "headers_too_large": 431,
    "transfer_coding_unknown": 501,
    "method_unknown": 501,
    "upstream_failed": 502,
    "upstream_malformed": 502,
    "xml_unrepresentable": 502,
    "answer_too_large": 502,
    "version_unsupported": 505,
}
_TITLES = {
    400: ("The request can't be understood or is not allowed as it stands", "请求有误"),
    401: ("Who is calling is not known", "身份未认证"),
    403: ("This caller may not do that", "没有权限"),
    404: ("There is no such thing here", "资源不存在"),
    405: ("This method is not offered here", "不支持的方法"),
    408: ("The request did not arrive in time", "请求接收超时"),
    409: ("The request conflicts with the present state", "请求与当前状态冲突"),
    412: ("The record has changed since it was read", "数据已被修改"),
    413: ("The request is too large", "请求过大"),
    414: ("The address is too long", "请求地址过长"),
    415: ("This kind of content is not taken here", "不支持的内容类型"),
    417: ("This expectation can't be met", "无法满足 Expect 要求"),
    422: ("The content can't be accepted as it stands", "请求内容无法受理"),
    426: ("Another protocol is needed here", "需要升级协议"),
    429: ("Too many requests", "请求过于频繁"),
    431: ("The header fields are too large", "请求头过大"),
    500: ("The platform failed", "平台内部错误"),
    501: ("This is not supported", "不支持的功能"),
    502: ("The system behind gave no usable answer", "上游系统应答无效"),
    505: ("This HTTP version is not supported", "不支持的 HTTP 版本"),
    503: ("The data can't be had right now", "数据暂不可用"),
    504: ("The answer took too long", "请求超时"),
}
_RETRY_AFTER_S = 2  # for a source or part that is down and did not say when to come back


def status_of(error: PlatformError) -> int:
    """The HTTP status of an error; 500 for one that a caller can do nothing about."""
    known = (_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    return _STATUS_OF_CODE.get(error.specific_code) or next(known, 500)


def titles_of(error: PlatformError) -> tuple[str, str]:
    """What its status means, in English and in Chinese."""
    return _TITLES[status_of(error)]


def detail_of(error: PlatformError) -> str:
    """What may be told to the caller: of a failure of the platform itself nothing but where it is found."""
    if status_of(error) == 500:
        return "internal error; the operator finds it under this request id"
    return _printable(error.detail)


def problem(error: PlatformError, request: Request) -> Response:
    """`{"type", "title", "status", "code", "detail", "request_id"}`; the title follows Accept-Language (en or zh)."""
    status = status_of(error)
    english, chinese = titles_of(error)
    is_chinese = request.headers.get("accept-language", "").lower().startswith("zh")
    body = {
        "type": f"urn:zhiyun:problem:{error.specific_code}",
        "title": chinese if is_chinese else english,
        "status": status,
        "code": error.specific_code,
        "detail": detail_of(error),
        "request_id": request.request_id,
    }
    headers = [("Content-Type", "application/problem+json"), ("Content-Language", "zh" if is_chinese else "en")]
    if isinstance(error, Unauthenticated) and not has_told(request, "WWW-Authenticate"):
        headers.append(("WWW-Authenticate", 'Bearer realm="zhiyun"'))  # RFC 6750 §3; a stage that knows better has told it
    if isinstance(error, Limited):
        headers.append(("Retry-After", str(max(1, math.ceil(error.retry_after_s)))))
    elif status == 503:
        headers.append(("Retry-After", str(_RETRY_AFTER_S)))
    return Response(status, headers, msgspec.json.encode(body))


def _printable(text: str) -> str:
    """Half a surrogate pair, which no JSON may hold, can come in with a header or a message of a foreign system."""
    return text.encode(errors="replace").decode()
