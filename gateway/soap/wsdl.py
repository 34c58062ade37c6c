"""A contract as WSDL 1.1 (W3C Note 2001-03-15): document/literal wrapped, a binding and a port for SOAP 1.1 and for SOAP 1.2."""

from lxml import etree

from gateway.soap.contract import Contract, Element
from gateway.soap.fault import NAMESPACE
from gateway.soap.values import XSD_TYPES
from gateway.soap.versions import SOAP11, SOAP12, VERSIONS, XSD, Version

WSDL = "http://schemas.xmlsoap.org/wsdl/"
_HTTP = "http://schemas.xmlsoap.org/soap/http"
_PROBLEM = (("code", "string"), ("status", "int"), ("detail", "string"), ("request_id", "string"))


def wsdl(contract: Contract, address: str) -> bytes:
    """The document; `address` is the URL of both ports."""
    names = {"wsdl": WSDL, "xsd": XSD, "soap": SOAP11.binding, "soap12": SOAP12.binding, "tns": contract.namespace, "z": NAMESPACE}
    root = etree.Element(f"{{{WSDL}}}definitions", {"name": contract.service, "targetNamespace": contract.namespace}, nsmap=names)
    types = _wsdl(root, "types")
    types.append(schema(contract))
    types.append(_problem_schema())
    _messages(root, contract)
    _port_type(root, contract)
    for version in VERSIONS:
        _binding(root, contract, version)
    service = _wsdl(root, "service", name=contract.service)
    for version in VERSIONS:
        port = _wsdl(service, "port", name=_name(version), binding=f"tns:{_name(version)}")
        etree.SubElement(port, f"{{{version.binding}}}address", {"location": address})
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def schema(contract: Contract) -> etree._Element:
    """The XML Schema of all messages."""
    root = _schema(contract.namespace)
    for operation in contract.operations.values():
        for element in (operation.request, operation.response):
            _element(root, element, is_global=True)
    return root


def _schema(namespace: str) -> etree._Element:
    attributes = {"targetNamespace": namespace, "elementFormDefault": "qualified"}
    return etree.Element(f"{{{XSD}}}schema", attributes, nsmap={"xsd": XSD})


def _problem_schema() -> etree._Element:
    root = _schema(NAMESPACE)
    outer = etree.SubElement(root, f"{{{XSD}}}element", {"name": "problem"})
    sequence = etree.SubElement(etree.SubElement(outer, f"{{{XSD}}}complexType"), f"{{{XSD}}}sequence")
    for name, kind in _PROBLEM:
        etree.SubElement(sequence, f"{{{XSD}}}element", {"name": name, "type": f"xsd:{kind}"})
    return root


def _element(parent: etree._Element, element: Element, *, is_global: bool = False) -> None:
    attributes = {"name": element.name}
    if element.kind is not None:
        attributes["type"] = f"xsd:{XSD_TYPES[element.kind]}"
    if not is_global:
        attributes["minOccurs"] = "1" if element.is_required else "0"
        attributes["maxOccurs"] = "unbounded" if element.is_many else "1"
        if element.is_nillable:
            attributes["nillable"] = "true"
    made = etree.SubElement(parent, f"{{{XSD}}}element", attributes)
    if element.kind is None:
        sequence = etree.SubElement(etree.SubElement(made, f"{{{XSD}}}complexType"), f"{{{XSD}}}sequence")
        for child in element.children:
            _element(sequence, child)


def _messages(root: etree._Element, contract: Contract) -> None:
    for operation in contract.operations.values():
        for element in (operation.request, operation.response):
            _wsdl(_wsdl(root, "message", name=element.name), "part", name="parameters", element=f"tns:{element.name}")
    _wsdl(_wsdl(root, "message", name="problem"), "part", name="problem", element="z:problem")


def _port_type(root: etree._Element, contract: Contract) -> None:
    port_type = _wsdl(root, "portType", name=contract.service)
    for operation in contract.operations.values():
        made = _wsdl(port_type, "operation", name=operation.name)
        _wsdl(made, "input", message=f"tns:{operation.request.name}")
        _wsdl(made, "output", message=f"tns:{operation.response.name}")
        _wsdl(made, "fault", name="problem", message="tns:problem")


def _binding(root: etree._Element, contract: Contract, version: Version) -> None:
    binding = _wsdl(root, "binding", name=_name(version), type=f"tns:{contract.service}")
    soap = f"{{{version.binding}}}"
    etree.SubElement(binding, f"{soap}binding", {"style": "document", "transport": _HTTP})
    for operation in contract.operations.values():
        made = _wsdl(binding, "operation", name=operation.name)
        etree.SubElement(made, f"{soap}operation", {"soapAction": contract.action(operation.name), "style": "document"})
        for each in ("input", "output"):
            etree.SubElement(_wsdl(made, each), f"{soap}body", {"use": "literal"})
        etree.SubElement(_wsdl(made, "fault", name="problem"), f"{soap}fault", {"name": "problem", "use": "literal"})


def _name(version: Version) -> str:
    return "Soap11" if version is SOAP11 else "Soap12"


def _wsdl(parent: etree._Element, tag: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{WSDL}}}{tag}", attributes)
