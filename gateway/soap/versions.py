"""SOAP 1.1 (W3C Note 2000-05-08) and SOAP 1.2 (second edition): namespaces, content types, the action of a request."""

from dataclasses import dataclass

from core.errors import InvalidInput
from gateway.stage import Request

XSD = "http://www.w3.org/2001/XMLSchema"
XSI = "http://www.w3.org/2001/XMLSchema-instance"


@dataclass(frozen=True, slots=True)
class Version:
    """`here` are the actors or roles that mean this node; `binding` is the WSDL extension's namespace."""

    name: str
    envelope: str
    media: str
    binding: str
    target: str
    here: frozenset[str]


SOAP11 = Version(
    "1.1",
    "http://schemas.xmlsoap.org/soap/envelope/",
    "text/xml",
    "http://schemas.xmlsoap.org/wsdl/soap/",
    "actor",
    frozenset(("", "http://schemas.xmlsoap.org/soap/actor/next")),
)
_ROLE = "http://www.w3.org/2003/05/soap-envelope/role/"
SOAP12 = Version(
    "1.2",
    "http://www.w3.org/2003/05/soap-envelope",
    "application/soap+xml",
    "http://schemas.xmlsoap.org/wsdl/soap12/",
    "role",
    frozenset(("", f"{_ROLE}next", f"{_ROLE}ultimateReceiver")),
)
VERSIONS = (SOAP11, SOAP12)


def media_of(content_type: str) -> tuple[str, dict[str, str]]:
    """The media type in lower case, and its parameters without their quotes."""
    media, *rest = content_type.split(";")
    pairs = (each.partition("=") for each in rest)
    return media.strip().lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def version_told(request: Request) -> Version | None:
    """The version that the request's content type is of; None for another type."""
    media, _ = media_of(request.headers.get("content-type", ""))
    return next((each for each in VERSIONS if each.media == media), None)


def check_content(request: Request) -> tuple[Version, str]:
    """Version and charset of the content type. InvalidInput (unsupported_media_type) for any other, MTOM and packed bodies too."""
    version = version_told(request)
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        request.tell("Accept-Encoding", "identity")  # RFC 9110 §12.5.3
        raise InvalidInput("a packed body is not taken: send it plain", code="unsupported_media_type")
    if version is None:
        text = "a SOAP request is text/xml (1.1) or application/soap+xml (1.2), without attachments"
        raise InvalidInput(text, code="unsupported_media_type")
    return version, media_of(request.headers["content-type"])[1].get("charset", "")


def action_of(request: Request, version: Version) -> str:
    """SOAPAction (1.1 §6.1.1) or the parameter `action` (RFC 3902); empty where there is none."""
    if version is SOAP11:
        return request.headers.get("soapaction", "").strip().strip('"')
    return media_of(request.headers["content-type"])[1].get("action", "")
