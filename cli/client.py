"""The management API over HTTP. Every failure comes out as a PlatformError that says what to do."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from cli.connection import Connection
from config.problem import suggestion
from core.errors import DeadlineExceeded, Forbidden, NotConnected, NotFound, PlatformError, Unauthenticated

_CONNECT_S, _ANSWER_S = 3.0, 60.0
_PAGE = 1000
_KINDS: Mapping[int, type[PlatformError]] = {401: Unauthenticated, 403: Forbidden, 404: NotFound}


class Client:
    """One connection to one server."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        headers = {"Authorization": f"Bearer {connection.token.reveal()}"} if connection.token else {}
        self._http = httpx.Client(
            base_url=connection.server,
            headers=headers,
            timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
            trust_env=not connection.is_local,  # no proxy between us and our own machine
        )

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, **params: Any) -> Any:
        """The answer's JSON, None for an empty one. `path` is below /api/v1 unless it begins with a slash."""
        answer = self._send(method, path, body, headers or {}, {k: v for k, v in params.items() if v is not None})
        if answer.is_success:
            return answer.json() if answer.content else None
        raise self._refused(answer)

    def _send(self, method: str, path: str, body: Any, headers: Mapping[str, str], params: Mapping[str, Any]) -> httpx.Response:
        target = path if path.startswith("/") else f"/api/v1/{path}"
        try:
            return self._http.request(method, target, json=body, headers=dict(headers), params=params)
        except httpx.ConnectError as error:
            text = f"no node answers at {self.connection.server}; start one with zhiyun up, or name another with --server"
            raise NotConnected(text) from error
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(f"{self.connection.server} did not answer within {_ANSWER_S:g} s") from error
        except httpx.HTTPError as error:
            raise NotConnected(f"{self.connection.server}: the connection broke ({error}); try again") from error

    def _refused(self, answer: httpx.Response) -> PlatformError:
        try:
            problem = answer.json()
            code, detail = str(problem["code"]), str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"{self.connection.server} answered {answer.status_code} and no problem document: is it a Zhiyun console?"
            return PlatformError(detail, code="not_zhiyun")
        if answer.status_code == 401 and answer.request.url.path != "/api/v1/session":
            detail += "\nrun zhiyun login, set ZHIYUN_TOKEN, or run it where the node's --data-dir is"
        return _KINDS.get(answer.status_code, PlatformError)(detail, code=code)

    def one(self, section: str, name: str) -> Any:
        """One resource. NotFound names the nearest that exists."""
        try:
            return self.ask("GET", f"{section}/{quote(name, safe='')}")
        except NotFound as error:
            names = [item["name"] for item in self.all(section)]
            raise NotFound(error.detail + suggestion(name, names)) from error

    def all(self, section: str) -> list[Any]:
        """Every resource of a section, page by page."""
        found: list[Any] = []
        while True:
            page = self.ask("GET", section, limit=_PAGE, after=found[-1]["name"] if found else None)["items"]
            found += page
            if len(page) < _PAGE:
                return found

    def act(self, method: str, section: str, name: str, action: str = "", body: Any = None, **params: Any) -> Any:
        """As `ask` for something about one resource; where that is not there, NotFound names the nearest."""
        path = f"{section}/{quote(name, safe='')}" + (f"/{action}" if action else "")
        try:
            return self.ask(method, path, body, **params)
        except NotFound:
            self.one(section, name)
            raise
