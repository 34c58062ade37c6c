"""The sample's declarations and app: applied through the registry as any operator's would be."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from config.load import load_platform
from core.adapter import Adapter
from core.errors import ConfigError
from registry.credentials import Credentials
from registry.registry import Registry
from server.estate import PLATFORM, has_odbc

APP = "sample-app"
_ACTOR = "sample"


class SampleApp(Struct):
    """What the banner shows of the sample's app."""

    key: str
    secret: str


async def apply_sample(
    registry: Registry, credentials: Credentials, variables: Mapping[str, str], adapters: Mapping[str, Adapter]
) -> SampleApp:
    """Declare the estate's sources, services and jobs. The app keeps its credential over restarts."""
    if not PLATFORM.exists():
        raise ConfigError(f"{PLATFORM} is missing from this checkout")
    document = load_platform(PLATFORM, variables, adapters)
    if not has_odbc():
        _sales_over_mysql(document["sources"]["sales"])
    await registry.apply(document, actor=_ACTOR)
    known = await credentials.of("app", APP)
    issued = await credentials.reveal(known[0].key) if known else await credentials.issue("app", APP, actor=_ACTOR)
    return SampleApp(issued.key, issued.secret.reveal())


def _sales_over_mysql(sales: dict[str, Any]) -> None:
    """Without unixODBC the estate offers its sales system over MySQL's protocol; the datasets stay as they are."""
    sales["adapter"] = "mysql"
    sales["settings"].pop("encrypt")
