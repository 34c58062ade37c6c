"""The JSON front of transactions: `POST /v1/transactions` and `GET /v1/transactions/{id}`.

Translates, and asks of each step what the service's own pipe would ask: the scope, the grant's operations, the fields that this app
may write."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from config.model import Platform
from core.errors import Conflict, Forbidden, InvalidInput
from core.schema import Record
from core.service import TransactionService, Write
from core.stores import Saga
from gateway.data_front import caller_of, json_body, once_of
from gateway.stage import Request, Response
from gateway.stages.authorise import Admission, Authorise
from gateway.views import View


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One write. `update` sets the given fields, `replace` all that may be written (one not given becomes null)."""

    service: str
    op: Literal["update", "replace", "delete"]
    key: Annotated[str, Meta(min_length=1, max_length=1000)]
    record: Record | None = None
    if_match: str | None = None


class Steps(Struct, frozen=True, forbid_unknown_fields=True):
    steps: Annotated[list[Step], Meta(min_length=2, max_length=20)]


class TransactionFront:
    def __init__(
        self, transactions: TransactionService, platform: Platform, admission: Admission, views: Mapping[str, Mapping[str, View]]
    ) -> None:
        self._transactions = transactions
        self._services = {name: service for name, service in platform.services.items() if service.enabled and service.transactional}
        self._admission = admission
        self._views = views

    async def begin(self, request: Request) -> Response:
        """POST /v1/transactions"""
        given = await json_body(request, Steps)
        once = once_of(request)
        for number, step in enumerate(given.steps, 1):
            try:
                self._allow(step, request)
            except (Forbidden, InvalidInput) as error:
                raise type(error)(f"step {number}: {error.detail}", code=error.specific_code) from None
        writes = [(step.service, self._write(step, once)) for step in given.steps]
        saga = await self._transactions.begin(writes, once, caller_of(request))
        if saga.state == "refused":
            raise Conflict(f"{saga.id}: nothing is left of it: {saga.reason}", code="transaction_refused")
        if saga.state == "stuck":
            raise Conflict(f"{saga.id}: a person has to decide: {saga.reason}", code="transaction_stuck")
        return _response(saga)

    async def look(self, request: Request) -> Response:
        """GET /v1/transactions/{id}"""
        return _response(await self._transactions.look(request.parameters["id"], caller_of(request)))

    def _allow(self, step: Step, request: Request) -> None:
        if step.service not in self._services:
            raise InvalidInput(f"service {step.service[:64]!r} takes no part in transactions", code="not_transactional")
        Authorise(self._admission, f"{step.service}:write", step.service, step.op).on_request(request)
        if (step.record is None) != (step.op == "delete"):
            raise InvalidInput(f"{step.op} {'takes no record' if step.op == 'delete' else 'needs a record'}")
        view = None if request.identity is None else self._views.get(step.service, {}).get(request.identity.app)
        if view is None or step.record is None:
            return
        names = {**dict.fromkeys(self._services[step.service].writable if step.op == "replace" else ()), **step.record}
        if (name := view.unwritable(names)) is not None:
            raise Forbidden(f"field {name[:64]} is masked or not granted to this app; it can't be written", code="field_forbidden")

    def _write(self, step: Step, once: str) -> Write:
        changes: Record | None = step.record
        if step.op == "replace":
            changes = {**dict.fromkeys(self._services[step.service].writable), **(step.record or {})}
        return Write(step.key, changes, once, step.if_match)


def _response(saga: Saga) -> Response:
    """What each step has come to; records stay with their services, where each caller sees what it may see."""
    steps: list[dict[str, Any]] = [{"service": step.service, "key": step.key, "state": step.state} for step in saga.steps]
    body = {"id": saga.id, "state": saga.state, "steps": steps, "failed_step": saga.failed, "reason": saga.reason}
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    return Response(200, headers, msgspec.json.encode(body))
