"""What `zhiyun doctor` says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what it is about, and what to do where it is not ok."""

    name: str
    is_ok: bool
    detail: str
