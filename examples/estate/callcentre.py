"""The call centre's front: an FTP server with one account and a root that can only be read."""

from pathlib import Path
from typing import Final

import aioftp

MAX_CONNECTIONS: Final = 50


def callcentre_server(root: Path, *, user: str, password: str) -> aioftp.Server:
    """The server over `root`; the caller starts and closes it. Anonymous users are refused."""
    account = aioftp.User(user, password, base_path=root, permissions=[aioftp.Permission("/", writable=False)])
    return aioftp.Server([account], maximum_connections=MAX_CONNECTIONS, idle_timeout=600)
