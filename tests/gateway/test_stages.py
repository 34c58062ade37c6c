"""Every stage of the chain through the one suite of stages."""

from cache.limiter_memory import MemoryLimiter
from config.model import App, Plan, Platform
from gateway.identity import Identity
from gateway.stage import Request, Stage
from gateway.stages.authorise import Admission, Authorise
from gateway.stages.limit import Limit
from tests.conformance.stage_suite import StageSuite
from tests.gateway.desk import request_of

SHOP = Identity("shop", "ak_1", frozenset({"customers:read"}))


def _from(identity: Identity | None) -> Request:
    request = request_of("GET", "/v1/customers")
    if identity is not None:
        request.identity = identity
    return request


class TestAuthorise(StageSuite):
    def stage(self) -> Stage:
        return Authorise(Admission(Platform(apps={"shop": App(plan="p", scopes=("customers:read",))})), "customers:read")

    def admitted(self) -> Request:
        return _from(SHOP)

    def refused(self) -> Request:
        return _from(Identity("stranger", "ak_2", frozenset({"customers:read"})))


class TestLimit(StageSuite):
    def stage(self) -> Stage:
        plans = {"shop": ("gold", Plan(per_s=1000, burst=1000))}
        return Limit(plans, MemoryLimiter(), MemoryLimiter())

    def admitted(self) -> Request:
        return _from(SHOP)

    def refused(self) -> Request:
        return _from(None)
