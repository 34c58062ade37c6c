"""A real nginx as reverse proxy before one upstream, as Debian ships it."""

import os
from pathlib import Path

from tests.servers.ports import free_port
from tests.servers.process import LOOPBACK, ServerProcess, accepts_connections, find_program

_CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_header_timeout 2s;
    client_body_timeout 2s;
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://{host}:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_read_timeout 3s;
        }}
    }}
}}
"""


class NginxProxy:
    """nginx on a loopback port that passes everything on to the port `upstream`."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.port = free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        text = _CONFIGURATION.format(folder=folder, host=LOOPBACK, port=self.port, upstream=upstream, user=user)
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
        argv = [find_program("nginx", "nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
        self._process = ServerProcess("nginx", argv, folder, lambda: accepts_connections(self.port))

    def start(self) -> None:
        self._process.start()

    def kill(self) -> None:
        self._process.kill()
