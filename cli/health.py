"""`zhiyun health`: whether this machine's node serves, asked at its own ports as its settings say. For container managers.

It needs no login and no running registry; `zhiyun doctor` tells more. Standard library only: it is run every few seconds.
"""

import ipaddress
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.findings import Finding
from cli.terminal import Terminal, command, dumped
from core.errors import PlatformError

if TYPE_CHECKING:
    from config.address import Address
    from config.settings import Settings

Config = Annotated[Path | None, typer.Option("--config", help="the node's settings file; zhiyun.yaml where there is one 配置文件")]
TimeoutS = Annotated[float, typer.Option("--timeout-s", min=0.1, max=60, help="for each port 每个端口的时限")]
_DEFAULT_CONFIG = Path("zhiyun.yaml")
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def add(app: typer.Typer) -> None:
    command(app, "health")(health)


def health(terminal: Terminal, config: Config = None, timeout_s: TimeoutS = 2.0) -> None:
    """Ask the node at its own ports; status 1 where one does not answer. 存活检查。"""
    import os

    from config.settings import load_settings

    path = config or (_DEFAULT_CONFIG if _DEFAULT_CONFIG.is_file() else None)
    found = checks(load_settings(path, os.environ, {}), timeout_s)
    if terminal.as_json:
        print(dumped({"checks": [{"name": each.name, "ok": each.is_ok, "detail": each.detail} for each in found]}))
    else:
        print("\n".join(f"{'ok' if each.is_ok else '!!'}  {each.name:<12} {each.detail}" for each in found))
    if bad := [each.name for each in found if not each.is_ok]:
        raise PlatformError(f"unhealthy: {', '.join(bad)}")


def checks(settings: "Settings", timeout_s: float) -> list[Finding]:
    """One finding for each role of the node."""
    found = []
    if "gateway" in settings.roles:
        found.append(_finding("gateway", settings.http, timeout_s, settings))
    if "back-office" in settings.roles:
        found.append(_finding("back office", settings.console, timeout_s, None))
    return found


def _finding(name: str, address: "Address", timeout_s: float, listener: "Settings | None") -> Finding:
    host = _LOOPBACK.get(address.host, address.host)
    where = f"{host}:{address.port}"
    try:
        with socket.create_connection((host, address.port), timeout_s) as plain:
            status = _asked(plain, listener)
    except ssl.SSLError as error:
        return Finding(name, False, f"{where}: TLS: {error.reason or error}")
    except TimeoutError:
        return Finding(name, False, f"{where}: no answer within {timeout_s:g} s")
    except OSError as error:
        return Finding(name, False, f"{where}: {error.strerror or error}")
    if status is None:
        return Finding(name, True, f"{where} asks for a client's certificate, as it shall")
    return Finding(name, status == 200, f"{where} answers {status or 'what is not HTTP'}")


def _asked(plain: socket.socket, listener: "Settings | None") -> int | None:
    """The status of /healthz, 0 for what is no HTTP. None where clients need a certificate: the listener's own side of the
    handshake is done then (RFC 8446 §4.4.4), which its process alone can do, and it answers nothing more.

    The certificate is not verified: it is for other names than the loopback's, and nothing is sent that needs protection."""
    if listener is not None and listener.proxy_protocol and _is_trusted(plain, listener):
        plain.sendall(b"PROXY UNKNOWN\r\n")
    if listener is None or listener.tls is None:
        return _status(plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # before it a handshake ends only with the client's certificate
    with context.wrap_socket(plain) as tls:
        return _status(tls) if listener.tls_clients != "required" else None


def _is_trusted(plain: socket.socket, listener: "Settings") -> bool:
    """Whether the listener takes this process for a balancer, and waits for a PROXY header."""
    own = ipaddress.ip_address(plain.getsockname()[0])
    return any(own in ipaddress.ip_network(each, strict=False) for each in listener.trusted_proxies)


def _status(connection: socket.socket) -> int:
    connection.sendall(_REQUEST)
    line = b""
    while b"\r\n" not in line and len(line) < 1024:
        piece = connection.recv(1024)
        if not piece:
            break
        line += piece
    words = line.split(b"\r\n")[0].split(b" ")
    return int(words[1]) if len(words) > 1 and words[0] == b"HTTP/1.1" and words[1].isdigit() else 0
