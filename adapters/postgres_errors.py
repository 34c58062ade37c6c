"""What PostgreSQL says about a failure, in the platform's terms, by its SQLSTATE (PostgreSQL 17, appendix A)."""

from adapters.sql_pool import CONNECTION_LOST
from core.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    NotConnected,
    NotFound,
    PlatformError,
    Unauthenticated,
    Unavailable,
)

_BY_STATE: dict[str, type[PlatformError]] = {
    **dict.fromkeys(("3D000", "3F000", "42P01", "42703", "42883"), NotFound),
    **dict.fromkeys(("42501", "25006"), Forbidden),
    **dict.fromkeys(("53300", "57P03"), NotConnected),
    "57014": DeadlineExceeded,
}
_BY_CLASS: dict[str, type[PlatformError]] = {"22": InvalidInput, "23": InvalidInput, "28": Unauthenticated, "42": InvalidInput}
_LOST = ("57P01", "57P02", "57P05")


def platform_error(state: str, message: str, where: str, *, is_connecting: bool = False) -> PlatformError:
    """The error for a SQLSTATE; `where` names the server."""
    detail = f"{where}: {' '.join(message.split())[:400]} ({state})"
    kind = _BY_STATE.get(state) or _BY_CLASS.get(state[:2])
    if kind is not None:
        return kind(detail)
    if is_connecting:
        return NotConnected(detail)
    return Unavailable(detail, code=CONNECTION_LOST if state in _LOST or state[:2] == "08" else None)
