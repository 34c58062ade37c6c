"""The two twins of the scanner, and all that is compiled with them: equal verdicts on whatever comes."""

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings

from gateway.http1 import fields, scanner
from tests.gateway.wire_builds import Builds
from tests.gateway.wire_messages import REQUESTS, RESPONSES
from tools.source_tree import ROOT

pytestmark = pytest.mark.timeout(600)  # the first test may have to compile first
_FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@_FUZZ
@given(head=REQUESTS)
def test_both_builds_judge_a_request_alike(builds: Builds, head: bytes) -> None:
    found = builds.verdict("request", head)
    assert found[0] == "accepted" or found[3] != "it breaks the rules of HTTP/1.1", "refused for no reason that we can name"


@_FUZZ
@given(head=RESPONSES)
def test_both_builds_judge_an_answer_alike(builds: Builds, head: bytes) -> None:
    for verb in (b"GET", b"HEAD"):
        builds.verdict("response", head, verb)


def test_every_known_field_is_told_in_any_case(builds: Builds) -> None:
    for name, kind in fields.REQUEST_FIELDS.items():
        for spelling in (name, name.upper(), name.title()):
            head = b"GET / HTTP/1.1\r\nX: 1\r\n" + spelling + b":\t v \r\nY: 2\r\n\r\n"
            found = builds.verdict("scan", head)
            kept = b"X: 1\r\n" + (spelling + b":\t v \r\n" if kind & fields.KEEP else b"") + b"Y: 2\r\n"
            assert found[5] == kept
            assert found[6] == ([(kind & fields.TOLD, b"v")] if kind & fields.TOLD else [])


def test_names_that_only_look_known_are_kept(builds: Builds) -> None:
    for name in (b"Hos", b"Hostt", b"Host-", b"X-Zhiyun", b"TEE", b"xx-zhiyun-a", b"Content-Lengthh", b"\x21ost"):
        assert builds.verdict("scan", b"GET / HTTP/1.1\r\n" + name + b": a\r\n\r\n")[5:] == (name + b": a\r\n", [])
    for name in (b"X-Zhiyun-", b"x-ZHIYUN-app", b"X-Zhiyun-Anything-Else"):
        assert builds.verdict("scan", b"GET / HTTP/1.1\r\n" + name + b": a\r\n\r\n")[5:] == (b"", [])


def test_every_prefix_of_a_head_is_refused_not_read_over(builds: Builds) -> None:
    head = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: \r\n\r\n"
    assert {builds.verdict("scan", head[:end]) for end in range(len(head))} == {()}
    assert {builds.verdict("scan_response", answer[:end]) for end in range(len(answer))} == {()}
    assert builds.verdict("scan", head) != ()
    assert builds.verdict("scan_response", answer) != ()


def test_the_pure_twin_stays_at_hand_in_the_compiled_build() -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert scanner.scan_request_pure(head) is not None
    assert scanner.scan_request(head) == scanner.scan_request_pure(head)
    assert scanner.scan_response(b"HTTP/1.0 404\r\n\r\n") == scanner.scan_response_pure(b"HTTP/1.0 404\r\n\r\n")


@pytest.mark.usefixtures("builds")
def test_the_fuzz_of_the_wire_has_the_twin_in_c_beside_the_sources() -> None:
    script = (
        "from tests.fuzz.wire import _compiled_scanner; from gateway.http1 import BUILD, scanner\n"
        "head = b'GET /a?b HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'\n"
        "assert BUILD == 'pure Python'; assert _compiled_scanner().scan_request(head) == scanner.scan_request(head) != None"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=120)
