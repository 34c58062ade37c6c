"""Every stage of the chain through the one suite of stages."""

import time

from core.errors import Unauthenticated
from gateway.identity import Identity
from gateway.stage import Request, Stage
from gateway.stages.authenticate import Authenticate
from tests.conformance.stage_suite import StageSuite
from tests.gateway.desk import request_of

SHOP = Identity("shop", "ak_1", frozenset({"customers:read"}))


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
