"""Who is told, as real servers: a web server for webhooks and robots, and a small mail server (RFC 5321, STARTTLS of RFC 3207)."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiohttp import web

from tests.servers.certificate import CertificateFiles


@dataclass
class Posts:
    """What came to `/hook` and `/robot`. `status` and `errcode` are what they answer from now on."""

    url: str = ""
    got: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    status: int = 200
    errcode: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append((request.path, dict(request.headers), await request.read()))
        return web.json_response({"errcode": self.errcode, "errmsg": "x"}, status=self.status)


@asynccontextmanager
async def served(application: web.Application) -> AsyncIterator[str]:
    """The application on a loopback port of its own; gives its URL."""
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def posts() -> AsyncIterator[Posts]:
    made = Posts()
    application = web.Application()
    application.router.add_post("/{name}", made.handle)
    async with served(application) as made.url:
        yield made


@dataclass
class Mailbox:
    """A mail server that takes what comes from `user` with `password`, after STARTTLS where it has a certificate."""

    certificate: CertificateFiles | None = None
    user: str = "zhiyun"
    password: str = "mail-password"
    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    was_safe: list[bool] = field(default_factory=list)
    refuses: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self._session(reader, writer)
        writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_safe = is_known = False
        writer.write(b"220 here ESMTP\r\n")
        while line := await reader.readline():
            verb = line.strip().upper()
            if verb.startswith(b"EHLO"):
                writer.write(
                    b"250-here\r\n" + (b"250-STARTTLS\r\n" if self.certificate and not is_safe else b"") + b"250 AUTH PLAIN\r\n"
                )
            elif verb == b"STARTTLS" and self.certificate:
                writer.write(b"220 go on\r\n")
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self.certificate.certificate, self.certificate.key)
                await writer.start_tls(context)
                is_safe = True
            elif verb.startswith(b"AUTH PLAIN"):
                given = base64.b64decode(line.split()[2]).split(b"\0")[1:]
                is_known = given == [self.user.encode(), self.password.encode()]
                writer.write(b"235 welcome\r\n" if is_known else b"535 no\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                body = await reader.readuntil(b"\r\n.\r\n")
                self.messages.append(message_from_bytes(body[:-5], policy=policy.default))
                self.was_safe.append(is_safe)
                writer.write(b"250 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:  # MAIL, RCPT
                writer.write(b"550 not here\r\n" if self.refuses else b"250 yes\r\n")


@asynccontextmanager
async def mailbox(**given: Any) -> AsyncIterator[Mailbox]:
    made = Mailbox(**given)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
