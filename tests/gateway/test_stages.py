"""Every stage of the chain through the one suite of stages."""

import time

from cache.limiter_memory import MemoryLimiter
from config.model import App, Plan, Platform
from core.errors import Unauthenticated
from gateway.identity import Identity
from gateway.stage import Request, Stage
from gateway.stages.authenticate import Authenticate
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


def _verify(token: str) -> tuple[Identity, float]:
    if token != "good":
        raise Unauthenticated("not one of ours")
    return SHOP, time.time() + 60


class TestAuthenticate(StageSuite):
    def stage(self) -> Stage:
        return Authenticate(_verify, time.time)

    def admitted(self) -> Request:
        return request_of("GET", "/v1/customers", headers={"authorization": "Bearer good"})

    def refused(self) -> Request:
        return request_of("GET", "/v1/customers", headers={"authorization": "Bearer bad"})


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
