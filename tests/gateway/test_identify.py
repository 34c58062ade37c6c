"""The platform's black and white lists of addresses, before anybody asks who it is."""

import pytest

from config.model import AccessList
from core.errors import Forbidden
from gateway.stage import Request, Stage
from gateway.stages.identify import Identify
from tests.conformance.stage_suite import StageSuite
from tests.gateway.desk import request_of

LISTS = {
    "bad": AccessList(addresses=("203.0.113.0/24", "2001:db8:bad::/48")),
    "worse": AccessList(addresses=("10.66.0.0/16",)),
    "off": AccessList(addresses=("10.1.0.0/16",), enabled=False),
    "office": AccessList(action="allow", addresses=("10.0.0.0/8", "2001:db8::/32")),
    "partners": AccessList(action="allow", addresses=("203.0.113.0/25", "198.51.100.7")),
}


class TestIdentify(StageSuite):
    def stage(self) -> Stage:
        return Identify(LISTS)

    def admitted(self) -> Request:
        return request_of("GET", "/", remote="10.1.2.3")

    def refused(self) -> Request:
        return request_of("GET", "/", remote="10.66.2.3")


@pytest.mark.req("0.37")
@pytest.mark.parametrize(
    ("remote", "is_taken"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("198.51.100.7", True),
        ("2001:db8::1", True),
        ("10.66.0.1", False),
        ("203.0.113.9", False),  # allowed by one list, denied by another: denied
        ("2001:db8:bad::1", False),
        ("192.0.2.1", False),  # on none, while there is a white list
        ("", False),
    ],
)
def test_deny_wins_and_a_white_list_admits_no_other(remote: str, is_taken: bool) -> None:
    stage, request = Identify(LISTS), request_of("GET", "/", remote=remote)
    if is_taken:
        assert stage.on_request(request) is None
    else:
        with pytest.raises(Forbidden) as caught:
            stage.on_request(request)
        assert caught.value.specific_code == "address_refused"


def test_without_lists_of_addresses_it_is_not_needed_and_without_white_lists_all_others_pass() -> None:
    assert not Identify({"apps": AccessList(apps=("shop",)), "off": LISTS["off"]}).is_needed
    only_black = Identify({"bad": LISTS["bad"]})
    assert only_black.is_needed
    assert only_black.on_request(request_of("GET", "/", remote="192.0.2.1")) is None
