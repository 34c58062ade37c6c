"""Types that settings may have beyond plain ones (Secret, Address, Path), and how msgspec reads and writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from config.address import Address
from core.errors import InvalidInput
from core.secret import Secret

T = TypeVar("T")

FROM_TEXT: dict[type, Callable[[str], Any]] = {Secret: Secret, Address: Address.parse, Path: Path}
"""Each is written as text; its reader raises ValueError."""

EXPECTED: dict[type, str] = {Secret: "text (a secret)", Address: "an address (host:port)", Path: "a path"}


def decode(kind: type, value: Any) -> Any:
    """msgspec's `dec_hook`."""
    if isinstance(value, kind):
        return value
    if kind not in FROM_TEXT or not isinstance(value, str):
        raise ValueError(f"expected {EXPECTED.get(kind, kind.__name__)}, got {type(value).__name__}")
    return FROM_TEXT[kind](value)


def encode(value: Any) -> Any:
    """msgspec's `enc_hook`. Secrets are revealed: what it writes is for a child process or the sealed registry, never for a log."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Address | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no plain form")


def convert(value: Any, kind: type[T]) -> T:
    """A validated document, or an adapter's `settings`, as its Struct; sealed secrets stay. Raises InvalidInput with the path."""
    try:
        return msgspec.convert(value, kind, dec_hook=decode)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error)) from error


def plain(value: Any) -> Any:
    """A Struct as plain values, its secrets revealed."""
    return msgspec.to_builtins(value, enc_hook=encode)
