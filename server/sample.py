"""The sample's declarations and app: applied through the registry as any operator's would be."""

from msgspec import Struct

from config.load import load_platform
from core.errors import ConfigError
from registry.credentials import Credentials, Issued
from registry.registry import Registry
from server.estate import PLATFORM

APP = "sample-app"
_ACTOR = "sample"


class SampleApp(Struct):
    """What the banner shows of the sample's app."""

    key: str
    secret: str


async def apply_sample(registry: Registry, credentials: Credentials, variables: dict[str, str], adapters: dict) -> SampleApp:  # type: ignore[type-arg]
    """Declare the estate's sources, services and jobs. The app keeps its credential over restarts."""
    if not PLATFORM.exists():
        raise ConfigError(f"{PLATFORM} is missing from this checkout")
    document = load_platform(PLATFORM, variables, adapters)
    await registry.apply(document, actor=_ACTOR)
    known = await credentials.of("app", APP)
    issued: Issued = await credentials.reveal(known[0]) if known else await credentials.issue("app", APP, actor=_ACTOR)
    return SampleApp(issued.key, issued.secret.reveal())
