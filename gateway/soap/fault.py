"""The platform's errors as SOAP faults: code, reason in English and Chinese, and a detail with the problem's code and request id.

HTTP status, and the fields that belong to it, are those of `gateway/problems`, save where SOAP fixes the status (`_status`).
"""

from core.errors import PlatformError
from gateway.problems import detail_of, problem, status_of, titles_of
from gateway.soap.reading import NotUnderstood
from gateway.soap.values import Unfit, escaped
from gateway.soap.versions import SOAP11, VERSIONS, Version
from gateway.stage import Request, Response

NAMESPACE = "urn:zhiyun:problem"
_OWN_CODES = {"soap_version_mismatch": "VersionMismatch", "must_understand": "MustUnderstand"}
_KEPT = frozenset((401, 403, 405, 413, 415, 429, 502, 503, 504))
"""What HTTP itself says to client and proxies, whatever the body: a challenge, a wait, a failure behind."""


def fault(error: PlatformError, request: Request, version: Version) -> Response:
    """The whole answer."""
    known = problem(error, request)
    status = status_of(error)
    english, chinese = titles_of(error)
    detail = _safe(detail_of(error))
    code = _OWN_CODES.get(error.specific_code) or _side(version, status)
    told = (
        f'<z:problem xmlns:z="{NAMESPACE}"><z:code>{_safe(error.specific_code)}</z:code><z:status>{status}</z:status>'
        f"<z:detail>{detail}</z:detail><z:request_id>{_safe(request.request_id)}</z:request_id></z:problem>"
    )
    if version is SOAP11:
        # 1.1 has one text: both languages stand in it.
        body = (
            f"<env:Fault><faultcode>env:{code}</faultcode><faultstring>{english} / {chinese}: {detail}</faultstring>"
            f"{'' if code == 'MustUnderstand' else f'<detail>{told}</detail>'}</env:Fault>"
        )
        header = ""
    else:
        subcode = f'<env:Subcode><env:Value xmlns:z="{NAMESPACE}">z:{_safe(error.specific_code)}</env:Value></env:Subcode>'
        body = (
            f"<env:Fault><env:Code><env:Value>env:{code}</env:Value>{'' if code in _OWN_CODES.values() else subcode}</env:Code>"
            f'<env:Reason><env:Text xml:lang="en">{english}: {detail}</env:Text>'
            f'<env:Text xml:lang="zh">{chinese}：{detail}</env:Text></env:Reason><env:Detail>{told}</env:Detail></env:Fault>'
        )
        header = _header(error)
    headers = [pair for pair in known.headers if pair[0] not in ("Content-Type", "Content-Language")]
    return Response(_status(version, code, status), [content_type(version), *headers], wrapped(version, body, header))


def content_type(version: Version) -> tuple[str, str]:
    return "Content-Type", f"{version.media}; charset=utf-8"


def wrapped(version: Version, body: str, header: str = "") -> bytes:
    """An envelope around XML text."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<env:Envelope xmlns:env="{version.envelope}">{header}'
        f"<env:Body>{body}</env:Body></env:Envelope>"
    ).encode()


def _side(version: Version, status: int) -> str:
    """Whose fault it is: SOAP 1.1 §4.4.1, SOAP 1.2 part 1 §5.4.6."""
    is_callers = status < 500
    return ("Client" if is_callers else "Server") if version is SOAP11 else ("Sender" if is_callers else "Receiver")


def _status(version: Version, code: str, status: int) -> int:
    """500, or in 1.2 400 for what the sender did (SOAP 1.1 §6.2, SOAP 1.2 part 2 §7.5.2.2), save for what HTTP says itself."""
    if status in _KEPT:
        return status
    return 400 if code == "Sender" else 500


def _header(error: PlatformError) -> str:
    """The header blocks of SOAP 1.2 part 1 §5.4.7 and §5.4.8."""
    if isinstance(error, NotUnderstood):
        blocks = []
        for name in error.names[:5]:
            namespace, _, local = name.removeprefix("{").rpartition("}")
            declared, prefix = (f' xmlns:q="{escaped(namespace)}"', "q:") if namespace else ("", "")
            blocks.append(f'<env:NotUnderstood{declared} qname="{prefix}{escaped(local)}"/>')
        return f"<env:Header>{''.join(blocks)}</env:Header>"
    if error.specific_code == "soap_version_mismatch":
        offered = "".join(f'<env:SupportedEnvelope xmlns:v="{each.envelope}" qname="v:Envelope"/>' for each in reversed(VERSIONS))
        return f"<env:Header><env:Upgrade>{offered}</env:Upgrade></env:Header>"
    return ""


def _safe(text: str) -> str:
    """A message of a foreign system may hold anything: a fault is told anyhow."""
    try:
        return escaped(text)
    except Unfit:
        return escaped("".join(each if each.isprintable() else "\ufffd" for each in text))
