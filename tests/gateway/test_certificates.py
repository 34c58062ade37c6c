"""The listener's certificates over real handshakes: which one a name gets, what is refused, and new ones while it runs."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509

from core.errors import ConfigError
from gateway.certificates import Certificates
from gateway.listener import Listener, bind
from gateway.stage import Request, Response
from tests.gateway.rig import Rig, rigged
from tests.servers.certificate import Authority

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Served:
    """A listener with TLS; its handler tells the subject of the client's certificate."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig = rig
        self.folder = folder / "tls"
        self.folder.mkdir()
        self.authority = Authority(folder)
        self.issue("default", "CN=default", "default.test")
        self.issue("shop.test", "CN=shop", "shop.test")
        self.issue("_.example.com", "CN=wildcard", "*.example.com")
        self.listeners: list[Listener] = []
        rig.serve("*", self._handle)

    def issue(self, stem: str, subject: str, *names: str) -> None:
        self.authority.issue(self.folder, stem, subject, *names)

    async def listen(self, certificates: Certificates) -> None:
        """Calls go to the newest."""
        self.listeners.append(Listener(self.rig.engine, self.rig.tasks, certificates=certificates))
        await self.listeners[-1].start(bind("127.0.0.1", 0))

    async def _handle(self, request: Request) -> Response:
        der = request.certificate
        text = f"{request.scheme} {x509.load_der_x509_certificate(der).subject.rfc4514_string() if der else '-'}"
        return Response(200, [("Content-Type", "text/plain")], text.encode())

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.file)
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.check_hostname = False
        return context

    async def connect(
        self, name: str | None, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made = context or self.client()
        return await asyncio.open_connection("127.0.0.1", self.listeners[-1].port, ssl=made, server_hostname=name or "")

    async def subject(self, name: str | None) -> str:
        """Whose certificate a caller of this name sees."""
        _, writer = await self.connect(name)
        try:
            return subject_of(writer)
        finally:
            writer.transport.abort()


def subject_of(writer: asyncio.StreamWriter) -> str:
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(GET)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return await reader.readexactly(length)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with rigged() as rig:
        made = Served(rig, tmp_path)
        yield made
        for listener in made.listeners:
            await listener.close(0.1)


async def test_the_name_that_is_asked_for_chooses_the_certificate(served: Served) -> None:
    await served.listen(Certificates(served.folder))
    assert await served.subject("shop.test") == "CN=shop"
    assert await served.subject("SHOP.test") == "CN=shop"
    assert await served.subject("a.example.com") == "CN=wildcard"
    for other in ("a.b.example.com", "example.com", "unknown.test", None):
        assert await served.subject(other) == "CN=default", other
    reader, writer = await served.connect("shop.test")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    assert await answer(reader, writer) == b"https -"
    writer.transport.abort()


async def test_tls_1_1_is_refused(served: Served) -> None:
    await served.listen(Certificates(served.folder))
    old = served.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await served.connect("shop.test", old)
    assert await served.subject("shop.test") == "CN=shop", "others are served on"


async def test_new_files_are_taken_up_and_open_connections_go_on(served: Served) -> None:
    certificates = Certificates(served.folder)
    await served.listen(certificates)
    reader, writer = await served.connect("shop.test")
    assert not certificates.reload(), "nothing has changed"
    served.issue("shop.test", "CN=shop-2", "shop.test")
    served.issue("default", "CN=default-2", "default.test")
    served.issue("late.test", "CN=late", "late.test")
    assert certificates.reload()
    for name, subject in (("shop.test", "CN=shop-2"), ("late.test", "CN=late"), (None, "CN=default-2"), ("b.test", "CN=default-2")):
        assert await served.subject(name) == subject
    assert await answer(reader, writer) == b"https -", "the connection from before"
    assert subject_of(writer) == "CN=shop"
    writer.transport.abort()
    for suffix in (".crt", ".key"):
        (served.folder / f"late.test{suffix}").unlink()
    assert certificates.reload()
    assert await served.subject("late.test") == "CN=default-2"


@pytest.mark.parametrize("harm", ["half", "key", "gone", "folder"])
async def test_a_broken_pair_leaves_the_old_ones_in_use(served: Served, harm: str) -> None:
    certificates = Certificates(served.folder)
    await served.listen(certificates)
    moved = served.folder.with_name("moved")
    if harm == "half":
        (served.folder / "shop.test.crt").write_bytes((served.folder / "shop.test.crt").read_bytes()[:200])
    elif harm == "key":
        (served.folder / "shop.test.key").write_bytes((served.folder / "default.key").read_bytes())
        os.utime(served.folder / "shop.test.key", ns=(1, 1))  # the clock of a file system may stand still for some milliseconds
    elif harm == "gone":
        (served.folder / "default.crt").unlink()
    else:
        served.folder.rename(moved)
    assert not certificates.reload()
    assert await served.subject("shop.test") == "CN=shop"
    assert await served.subject(None) == "CN=default"
    if moved.exists():
        moved.rename(served.folder)
    served.issue("default", "CN=default-3", "default.test")
    served.issue("shop.test", "CN=shop-3", "shop.test")
    assert certificates.reload(), "once they are mended they are taken"
    assert await served.subject("shop.test") == "CN=shop-3"


async def test_client_certificates_are_asked_for_and_checked(served: Served, tmp_path: Path) -> None:
    clients, strangers = Authority(tmp_path, "clients"), Authority(tmp_path, "strangers")
    good, bad = (each.issue(tmp_path, stem, "CN=till-7,O=Acme") for each, stem in ((clients, "good"), (strangers, "bad")))
    trusted, wrong = served.client(), served.client()
    trusted.load_cert_chain(good.certificate, good.key)
    wrong.load_cert_chain(bad.certificate, bad.key)

    async def told(context: ssl.SSLContext) -> bytes:
        reader, writer = await served.connect("shop.test", context)
        try:
            return await answer(reader, writer)
        finally:
            writer.transport.abort()

    await served.listen(Certificates(served.folder, clients="optional", client_ca=clients.file))
    assert await told(trusted) == b"https CN=till-7,O=Acme"
    assert await told(served.client()) == b"https -"
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await told(wrong)
    await served.listen(Certificates(served.folder, clients="required", client_ca=clients.file))
    assert await told(trusted) == b"https CN=till-7,O=Acme"
    for context in (served.client(), wrong):
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await told(context)


def test_a_folder_that_can_not_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs default\.crt and default\.key"):
        Certificates(tmp_path)
    with pytest.raises(ConfigError, match="nowhere"):
        Certificates(tmp_path / "nowhere")
    authority = Authority(tmp_path)
    (tmp_path / "tls").mkdir()
    authority.issue(tmp_path / "tls", "default", "CN=x")
    (tmp_path / "tls" / "default.key").unlink()
    with pytest.raises(ConfigError, match=r"default\.crt with default\.key"):
        Certificates(tmp_path / "tls")
