"""Every failure the platform knows, classed by what the caller must do about it.

`code` is public API (docs/errors.md); `detail` is read by a person: what is wrong, where, what to do, and never a secret.
Adapters, stores and transports translate their driver's exceptions into these at the edge, with `raise ... from`.
"""

from typing import ClassVar


class PlatformError(Exception):
    """Base of all. `retry` says whether the same call may succeed later without anybody changing anything."""

    code: ClassVar[str] = "internal"
    retry: ClassVar[bool] = False

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.specific_code = code or self.code


class InvalidInput(PlatformError):
    """The caller sent something that can never work; it must change its request or its data."""

    code = "invalid_input"


class Unauthenticated(PlatformError):
    """Who calls is not known: no credential, a wrong one, or an expired one."""

    code = "unauthenticated"


class Forbidden(PlatformError):
    """Who calls is known and may not do this."""

    code = "forbidden"


class NotFound(PlatformError):
    """The thing named does not exist, or not for this caller."""

    code = "not_found"


class Conflict(PlatformError):
    """The thing has changed since the caller looked, or exists already; read again, then decide."""

    code = "conflict"


class Limited(PlatformError):
    """A rate, quota or size limit; the caller waits `retry_after_s` seconds."""

    code = "limited"
    retry = True

    def __init__(self, detail: str, *, retry_after_s: float, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class NotConnected(PlatformError):
    """Nothing was sent: the other side could not be reached or refused us. Always safe to try again."""

    code = "not_connected"
    retry = True


class Unavailable(PlatformError):
    """The other side failed while it worked, or is shut off by its breaker. Only idempotent calls may be tried again."""

    code = "unavailable"
    retry = True


class DeadlineExceeded(PlatformError):
    """The time given is over; whether the work was done is not known."""

    code = "deadline_exceeded"
    retry = True


class ConfigError(PlatformError):
    """A setting or a declared resource is wrong. Start-up and `apply` only; names file and line where there is one."""

    code = "config"
