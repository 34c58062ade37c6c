"""A request's bytes → its envelope, by expat behind defusedxml: no DTD (so no entity, CWE-611, CWE-776), no processing instruction;
depth and number of elements are bounded while it reads, bytes by the pipe.

Then the envelope's sense: version, header blocks that must be understood, the one element of its body.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from core.errors import InvalidInput
from gateway.soap.versions import VERSIONS, Version

MAX_DEPTH = 32
MAX_NODES = 20_000
_CHARSETS = {
    **dict.fromkeys(("utf-8", "utf8", "us-ascii"), "utf-8"),
    **dict.fromkeys(("gb2312", "gbk", "gb18030"), "gb18030"),
    **dict.fromkeys(("utf-16", "utf-16le", "utf-16be"), "utf-16"),
    "iso-8859-1": "iso-8859-1",
}


@dataclass(slots=True)
class Node:
    """An element; `name` in Clark's notation, `{namespace}local`."""

    name: str
    attributes: dict[str, str]
    children: list["Node"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.texts)


@dataclass(frozen=True, slots=True)
class Envelope:
    version: Version
    payload: Node


class NotUnderstood(InvalidInput):
    """Header blocks that must be understood and are not; `names` in Clark's notation."""

    def __init__(self, refusal: InvalidInput, names: Sequence[str]) -> None:
        super().__init__(refusal.detail, code=refusal.specific_code)
        self.names = names


class _Builder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._nodes = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._nodes += 1 + len(attributes)
        if self._nodes > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} elements and attributes")
        if len(self._open) >= MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} elements")
        node = Node(tag, attributes)
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def end(self, tag: str) -> None:
        self._open.pop()

    def data(self, text: str) -> None:
        self._open[-1].texts.append(text)

    def pi(self, target: str, data: str | None = None) -> NoReturn:
        raise ValueError("a processing instruction is not taken (SOAP 1.2 part 1 §5)")

    def close(self) -> Node:
        assert self.root is not None
        return self.root


def parsed(body: bytes, charset: str = "") -> Node:
    """The root element. `charset` is the content type's, which wins over the document's own (RFC 7303 §3). InvalidInput
    (soap_malformed), whatever the bytes."""
    encoding = None
    try:
        if charset:
            if charset.lower() not in _CHARSETS:
                raise ValueError(f"the charset {charset[:40]!r} is not taken; send UTF-8")
            body, encoding = body.decode(_CHARSETS[charset.lower()]).removeprefix("\ufeff").encode(), "utf-8"
        parser = DefusedXMLParser(target=_Builder(), encoding=encoding, forbid_dtd=True)
        parser.feed(body)
        root: object = parser.close()
    except DefusedXmlException:
        raise _malformed("a document type declaration (DOCTYPE) is not taken") from None
    except ParseError as error:
        raise _malformed(f"no XML: {error}") from None
    except UnicodeError:
        raise _malformed("not in its encoding") from None
    except (ValueError, LookupError) as error:
        raise _malformed(str(error)) from None
    assert isinstance(root, Node)
    return root


def envelope(root: Node, told: Version) -> Envelope:
    """InvalidInput: soap_version_mismatch, soap_malformed, unsupported_media_type, must_understand."""
    namespace, _, local = root.name.removeprefix("{").rpartition("}")
    version = next((each for each in VERSIONS if each.envelope == namespace), None)
    if local != "Envelope" or version is None:
        text = "the root element is no Envelope of SOAP 1.1 or 1.2"
        raise InvalidInput(text, code="soap_version_mismatch")
    if version is not told:
        raise InvalidInput(f"an envelope of SOAP {version.name} comes as {version.media}", code="unsupported_media_type")
    parts = list(root.children)
    if parts and parts[0].name == f"{{{namespace}}}Header":
        _check_headers(parts.pop(0), version)
    if len(parts) != 1 or parts[0].name != f"{{{namespace}}}Body":
        raise _malformed("the envelope must have one Body, behind at most one Header")
    if len(parts[0].children) != 1:
        raise _malformed("the Body must have one element: the operation")
    payload = parts[0].children[0]
    if any(node.attributes.get(f"{{{namespace}}}encodingStyle") for node in (root, parts[0], payload)):
        raise _malformed("encoded messages are not taken: the contract is document/literal")
    return Envelope(version, payload)


def _check_headers(header: Node, version: Version) -> None:
    """This node understands no block. SOAP 1.1 §4.2.3, SOAP 1.2 part 1 §5.2.3."""
    names = []
    for block in header.children:
        asked = block.attributes.get(f"{{{version.envelope}}}mustUnderstand", "").strip()
        target = block.attributes.get(f"{{{version.envelope}}}{version.target}", "").strip()
        if asked in ("1", "true") and target in version.here:
            names.append(block.name)
    if names:
        told = ", ".join(name[:200] for name in names[:5])
        refusal = InvalidInput(f"not understood, but it must be: {told}", code="must_understand")
        raise NotUnderstood(refusal, names)


def _malformed(text: str) -> InvalidInput:
    return InvalidInput(text, code="soap_malformed")
