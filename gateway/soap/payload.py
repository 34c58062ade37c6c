"""Elements of a message ↔ values, as a contract declares them. Strict: what the contract does not have is refused by its path."""

from typing import Any

from core.errors import InvalidInput, Unavailable
from core.schema import Value
from gateway.soap.contract import Element
from gateway.soap.reading import Node
from gateway.soap.values import Unfit, escaped, read, written
from gateway.soap.versions import XSI

_NIL = f"{{{XSI}}}nil"
_IGNORED = tuple(f"{{{XSI}}}{name}" for name in ("type", "schemaLocation", "noNamespaceSchemaLocation"))


def arguments(node: Node, element: Element, namespace: str) -> dict[str, Any]:
    """The operation's arguments by name; what is not given is absent, nil is None. InvalidInput names the element."""
    found = _read(node, element, namespace, element.name)
    return found if isinstance(found, dict) else {}


def _read(node: Node, element: Element, namespace: str, path: str) -> Any:
    if _is_nil(node, element, path):
        return None
    if element.kind is not None:
        return _leaf(node, element, path)
    if node.text.strip():
        raise InvalidInput(f"{path}: it has elements, no text")
    values: dict[str, Any] = {}
    left = list(element.children)
    for child in node.children:
        given, _, local = child.name.removeprefix("{").rpartition("}")
        while left and (given, local) != (namespace, left[0].name):
            _check_given(left.pop(0), path)
        if not left:
            raise InvalidInput(_unexpected(child.name, element, namespace, path))
        declared = left.pop(0)
        values[declared.name] = _read(child, declared, namespace, f"{path}.{declared.name}")
    for each in left:
        _check_given(each, path)
    return values


def _leaf(node: Node, element: Element, path: str) -> Value:
    if node.children:
        raise InvalidInput(f"{path}: it has a text, no elements")
    assert element.kind is not None
    try:
        return read(element.kind, node.text)
    except ValueError as error:
        raise InvalidInput(f"{path}: {error}") from None


def _is_nil(node: Node, element: Element, path: str) -> bool:
    for name, value in node.attributes.items():
        if name == _NIL:
            if value.strip() in ("1", "true"):
                if not element.is_nillable or node.children or node.text.strip():
                    raise InvalidInput(f"{path}: it can't be nil")
                return True
        elif name not in _IGNORED:
            raise InvalidInput(f"{path}: unknown attribute {name[:200]!r}")
    return False


def _check_given(element: Element, path: str) -> None:
    if element.is_required:
        raise InvalidInput(f"{path}: element {element.name} is missing, or stands in another place than the WSDL says")


def _unexpected(name: str, element: Element, namespace: str, path: str) -> str:
    order = ", ".join(each.name for each in element.children) or "none"
    return f"{path}: unexpected element {name[:200]!r}; of {namespace!r}, each once and in this order: {order}"


def document(element: Element, values: dict[str, Any], namespace: str, *, is_masked: bool) -> str:
    """The element with its values. `is_masked`: a value that a mask has made unfit for its type is nil. Unavailable
    (upstream_malformed, xml_unrepresentable) where it can't be written."""
    out: list[str] = []
    _write(out, element, values, f' xmlns="{escaped(namespace)}" xmlns:xsi="{XSI}"', is_masked)
    return "".join(out)


def _write(out: list[str], element: Element, value: Any, attributes: str, is_masked: bool) -> None:
    name = element.name
    if element.kind is not None:
        text = None if value is None else _text(element, value, is_masked)
        out.append(f'<{name} xsi:nil="true"/>' if text is None else f"<{name}>{text}</{name}>")
        return
    if not isinstance(value, dict) or value.keys() - {each.name for each in element.children}:
        raise Unavailable(f"{name}: the answer is not as the contract declares it", code="upstream_malformed")
    out.append(f"<{name}{attributes}>")
    for each in element.children:
        if each.name not in value:
            continue
        given = value[each.name]
        for item in given if each.is_many else [given]:
            if item is not None or each.is_nillable:
                _write(out, each, item, "", is_masked)
    out.append(f"</{name}>")


def _text(element: Element, value: Any, is_masked: bool) -> str | None:
    assert element.kind is not None
    try:
        return escaped(written(element.kind, value))
    except Unfit:
        text = f"{element.name}: the value has a character that XML can't hold; read it as JSON"
        raise Unavailable(text, code="xml_unrepresentable") from None
    except ValueError:
        if is_masked and element.is_nillable:
            return None
        raise Unavailable(f"{element.name}: the value is not of its declared type", code="upstream_malformed") from None
