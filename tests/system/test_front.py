"""A node behind TLS and a balancer: client certificates, the PROXY protocol, and whose address counts."""

import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from socket import create_connection

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from tests.servers.certificate import Authority, CertificateFiles
from tests.system.gateway import Gateway
from tests.system.node import eventually

BALANCER = "127.0.0.9"
HEADER = b"PROXY TCP4 203.0.113.7 10.0.0.1 4000 443\r\n"


class Front:
    def __init__(self, folder: Path) -> None:
        self._tls = tls = folder / "tls"
        tls.mkdir()
        self._servers, self.clients, strangers = (Authority(folder, name) for name in ("servers", "clients", "strangers"))
        self.issue("CN=gateway")
        self.by_subject = self.clients.issue(folder, "subject", "CN=till-7,O=Acme")
        self.by_thumbprint = self.clients.issue(folder, "thumbprint", "CN=kiosk")
        self.unknown = self.clients.issue(folder, "unknown", "CN=nobody")
        self.stranger = strangers.issue(folder, "stranger", "CN=till-7,O=Acme")
        self.gateway = Gateway(
            folder / "data",
            workers=1,
            tls=tls,
            tls_clients="optional",
            tls_client_ca=self.clients.file,
            trusted_proxies=(BALANCER,),
            proxy_protocol=True,
        )
        self.gateway.trust = self.context()

    def issue(self, subject: str) -> None:
        self._servers.issue(self._tls, "default", subject, "localhost")

    def served(self) -> str:
        """Whose certificate a new connection sees."""
        address = self.gateway.node.settings.http
        with (
            create_connection((address.host, address.port), timeout=10) as plain,
            self.context().wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            der = tls.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).subject.rfc4514_string()

    def context(self, certificate: CertificateFiles | None = None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=self._servers.file)
        made.check_hostname = False
        if certificate is not None:
            made.load_cert_chain(certificate.certificate, certificate.key)
        return made

    def get(self, path: str, certificate: CertificateFiles) -> httpx.Response:
        return httpx.get(self.gateway.url + path, verify=self.context(certificate), timeout=20)

    def behind_a_balancer(self, path: str, header: bytes, *, source: str = BALANCER, fields: str = "") -> bytes:
        """The whole answer to a request through TLS inside a connection that begins with these bytes."""
        address = self.gateway.node.settings.http
        with create_connection((address.host, address.port), timeout=10, source_address=(source, 0)) as plain:
            plain.sendall(header)
            with self.context().wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n".encode())
                data = b""
                while piece := tls.recv(65_536):
                    data += piece
                return data

    def until_closed(self, header: bytes, source: str) -> bytes:
        """What comes back until the gateway has closed."""
        address = self.gateway.node.settings.http
        with create_connection((address.host, address.port), timeout=10, source_address=(source, 0)) as plain:
            plain.sendall(header)
            data = b""
            with suppress(ConnectionResetError):
                while piece := plain.recv(65_536):
                    data += piece
            return data


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    made = Front(tmp_path_factory.mktemp("front"))
    try:
        made.gateway.start()
        thumbprint = x509.load_pem_x509_certificate(made.by_thumbprint.certificate.read_bytes()).fingerprint(SHA256()).hex()
        made.gateway.apply(
            apps={
                "till": {"plan": "open", "scopes": ["shop:call"], "certificates": ["CN=till-7,O=Acme"]},
                "kiosk": {"plan": "open", "certificates": [thumbprint]},
            },
            routes={
                "shop": {"match": {"path": "/shop/{rest...}"}, "upstream": "one"},
                "open": {"match": {"path": "/open/{rest...}"}, "upstream": "one", "anonymous": True},
            },
            lists={"bad": {"action": "deny", "addresses": ["198.51.100.0/24"]}},
        )
        yield made
    finally:
        made.gateway.close()


@pytest.mark.req("0.38")
def test_an_app_is_known_by_its_client_certificate(front: Front) -> None:
    answer = front.get("/shop/a", front.by_subject)
    assert answer.status_code == 200, answer.text
    assert answer.json()["headers"]["x-zhiyun-app"] == "till"
    assert answer.json()["headers"]["x-forwarded-proto"] == "https"
    assert front.get("/shop/a", front.by_thumbprint).json()["code"] == "scope_missing", "known, yet it may not"
    assert front.get("/shop/a", front.unknown).json()["code"] == "certificate_unknown"
    assert front.gateway.get("/shop/a").json()["code"] == "token_missing"
    with pytest.raises((httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError)):
        front.get("/open/a", front.stranger)


@pytest.mark.req("0.37")
def test_a_balancers_caller_is_whom_lists_and_upstreams_see(front: Front) -> None:
    v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes((203, 0, 113, 7, 10, 0, 0, 1, 15, 160, 1, 187))
    for header in (HEADER, v2):
        answer = front.behind_a_balancer("/open/a", header)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b'"x-forwarded-for": "203.0.113.7"' in answer
    denied = front.behind_a_balancer("/open/a", HEADER.replace(b"203.0.113.7", b"198.51.100.9"))
    assert denied.startswith(b"HTTP/1.1 403 ")
    assert b"address_refused" in denied
    lied = front.behind_a_balancer("/open/a", HEADER, fields="X-Forwarded-For: 198.51.100.9\r\n")
    assert b'"x-forwarded-for": "203.0.113.7"' in lied, "the caller is no trusted proxy: what it says of itself is dropped"


def test_whoever_else_sends_a_proxy_header_is_not_believed(front: Front) -> None:
    assert b'"x-forwarded-for": "127.0.0.8"' in front.behind_a_balancer("/open/a", b"", source="127.0.0.8")
    for header, source in ((HEADER, "127.0.0.8"), (b"PROXY TCP4 203.0.113.7\r\n", BALANCER)):
        assert b"HTTP" not in front.until_closed(header, source), "it is ended before a request could be made"


def test_a_new_certificate_is_taken_up_while_the_node_runs(front: Front) -> None:
    before = front.served()
    assert before == "CN=gateway"
    # httpx by itself would close a connection that was idle for as long as the gateway may take to look at the file.
    patient = httpx.Limits(keepalive_expiry=None)
    with httpx.Client(base_url=front.gateway.url, verify=front.context(), limits=patient, timeout=20) as client:
        assert client.get("/open/a").status_code == 200
        front.issue("CN=renewed")
        eventually("new connections get it", lambda: front.served() == "CN=renewed")
        assert client.get("/open/a").status_code == 200
        told = client.get("/open/a").extensions["network_stream"].get_extra_info("ssl_object").getpeercert(True)
        assert x509.load_der_x509_certificate(told).subject.rfc4514_string() == "CN=gateway", "the connection from before goes on"
