"""A value that must never be printed: its `repr`, `str` and format are masked, only `reveal()` gives it out."""

import hmac


class Secret:
    """A password or key. Compared in constant time, hashable by identity only, masked wherever it is shown."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The clear value, for the one place that hands it to a driver or a cipher."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash would let it slip into a dict that is logged

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__
