"""Sessions of apps from the command line."""

import pytest

from core.clock import epoch_ms
from core.ids import new_id
from core.sessions import AppSession
from tests.cli.conftest import CommandLine

pytestmark = pytest.mark.slow  # each step is a process of its own


@pytest.mark.req("0.37")
async def test_sessions_are_listed_and_end(zhiyun: CommandLine) -> None:
    assert zhiyun.platform
    assert "no token is in use" in (await zhiyun.ok("session", "list")).out
    registry = zhiyun.platform.control.registry
    await registry.put("plan", "gold", {"per_s": 1, "burst": 1}, actor="test")
    await registry.put("app", "shop", {"plan": "gold"}, actor="test")
    made = [
        AppSession(new_id(), "shop", "ak_1", "till", "partner", "10.0.0.1", epoch_ms(), epoch_ms() + 3_600_000) for _ in range(2)
    ]
    await zhiyun.platform.control.app_sessions.add(made)
    listed = (await zhiyun.ok("session", "list", "--app", "shop")).out
    assert all(word in listed for word in (made[0].id, made[1].id, "till", "partner", "10.0.0.1", "until"))
    await zhiyun.ok("session", "revoke", made[0].id)
    states = {each["id"]: bool(each["revoked_ms"]) for each in (await zhiyun.ok("session", "list", "--json")).json["items"]}
    assert states == {made[0].id: True, made[1].id: False}
    assert "every session of app shop" in (await zhiyun.ok("session", "revoke", "--app", "shop")).out
    assert (await zhiyun.ok("session", "list")).out.count("revoked") == 2


@pytest.mark.parametrize(
    ("arguments", "said"), [((), "name one of three"), (("x", "--app", "y"), "name one of three"), (("nobody",), "no session")]
)
async def test_what_can_not_be_done_is_said_in_one_line(zhiyun: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    ended = await zhiyun("session", "revoke", *arguments)
    assert (ended.status, said in ended.err, ended.err.count("\n")) == (1, True, 1)
