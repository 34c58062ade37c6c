"""The listener's certificates: one for each server name (SNI), taken anew from their folder while the gateway runs.

`<name>.crt` with `<name>.key`; `default` serves callers that name no host or an unknown one, `_.example.com` all names right below
example.com. A pair that can't be read leaves the one before in use.
"""

import ssl
from pathlib import Path
from typing import Literal

import structlog

from core.errors import ConfigError

_log = structlog.get_logger("gateway.certificates")
Clients = Literal["none", "optional", "required"]
RELOAD_S = 5.0


class Certificates:
    """`context` is what the listener uses, the same object for ever. `clients` says whether client certificates are asked for;
    `client_ca` is the file of authorities that may have signed them."""

    def __init__(self, folder: Path, *, clients: Clients = "none", client_ca: Path | None = None) -> None:
        self._folder = folder
        self._clients = clients
        self._client_ca = client_ca
        self._stamp: tuple[tuple[str, int, int], ...] = ()
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._stamp = self._files()
        self._by_name = self._load()
        if "default" not in self._by_name:
            raise ConfigError(f"TLS folder {folder}: it needs default.crt and default.key, for callers that name no host")
        self.context = self._by_name["default"]
        self.context.sni_callback = self._choose

    def _files(self) -> tuple[tuple[str, int, int], ...]:
        try:
            found = [path for path in self._folder.iterdir() if path.suffix in (".crt", ".key")]
            return tuple(sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in found))
        except OSError as error:
            raise ConfigError(f"TLS folder {self._folder}: {error.strerror or error}") from error

    def _load(self) -> dict[str, ssl.SSLContext]:
        names = sorted(Path(name).stem for name, _, _ in self._stamp if name.endswith(".crt"))
        return {name.lower(): self._made(name) for name in names}

    def _made(self, name: str) -> ssl.SSLContext:
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(certificate, key)
            if self._clients != "none":
                context.verify_mode = ssl.CERT_OPTIONAL if self._clients == "optional" else ssl.CERT_REQUIRED
                context.load_verify_locations(cafile=self._client_ca)
        except (OSError, ssl.SSLError) as error:
            text = f"TLS certificate {certificate} with {key.name}: {error.strerror or error}"
            raise ConfigError(text) from error
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Python's SNI callback: setting the context changes the certificate of this handshake."""
        host = (name or "").lower()
        found = self._by_name.get(host) or self._by_name.get("_." + host.partition(".")[2]) or self._by_name["default"]
        connection.context = found

    def reload(self) -> bool:
        """Look at the folder; True where new certificates are in use. Connections that are open keep theirs."""
        try:
            stamp = self._files()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            fresh = self._load()
            if "default" not in fresh:
                raise ConfigError(f"TLS folder {self._folder}: default.crt has gone")
        except ConfigError as error:
            _log.error("the certificates stay as they were", detail=error.detail)
            return False
        self._by_name = fresh
        _log.info("new certificates are in use", names=sorted(fresh))
        return True
