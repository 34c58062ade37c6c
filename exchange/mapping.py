"""What a field's value goes through before its type is looked at: width and blanks, codes, a default, units, formats, zone."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation, localcontext
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from core.schema import Field, Unit
from core.units import converted

Step = Callable[[Any], Any]
_HALF_WIDTH = {0x3000: 0x20, **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}}
_DIGITS = 40  # significant, where a unit's factor has no end, as that of a mu


def steps(field: Field) -> list[Step]:
    """In their order; none for a field that is taken as it comes. A step raises ValueError for a value that it can't map."""
    found: list[Step] = []
    if field.fold_width:
        found.append(lambda value: value.translate(_HALF_WIDTH) if isinstance(value, str) else value)
    if field.trim:
        found.append(lambda value: value.strip() if isinstance(value, str) else value)
    if field.codes:
        found.append(_codes(field))
    if field.default is not None:
        default = field.default
        found.append(lambda value: default if value is None or value == "" else value)
    if field.unit is not None:
        found.append(_unit(field.unit))
    if field.formats:
        found.append(_formats(field.formats, is_date=field.type == "date"))
    if field.timezone is not None:
        found.append(_zoned(ZoneInfo(field.timezone)))
    return found


def _codes(field: Field) -> Step:
    codes, unknown = field.codes, field.unknown_code

    def convert(value: Any) -> Any:
        if value is None or value == "":
            return value
        text = str(value).strip()
        if text in codes:
            return codes[text]
        if unknown == "quarantine":
            raise ValueError(f"the code {text[:40]!r} is not in the table ({', '.join(list(codes)[:8])}…)")
        return value if unknown == "keep" else None

    return convert


def _unit(unit: Unit) -> Step:
    def convert(value: Any) -> Any:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            exact = Fraction(Decimal(str(value).strip()))
        except (InvalidOperation, ValueError, OverflowError):
            raise ValueError(f"expected a number of {unit.source}, got {str(value)[:40]!r}") from None
        result = converted(exact, unit.source, unit.target)
        with localcontext(prec=_DIGITS):
            return (Decimal(result.numerator) / Decimal(result.denominator)).normalize()

    return convert


def _formats(patterns: tuple[str, ...], *, is_date: bool) -> Step:
    """Text by the first pattern that fits, as a datetime; everything else goes on as it is."""

    def convert(value: Any) -> Any:
        if value is None or value == "" or (isinstance(value, datetime) and not is_date):
            return value
        text = str(value).strip()
        for pattern in patterns:
            if (found := _parsed(text, pattern)) is not None:
                return found.date() if is_date else found
        if isinstance(value, str):
            kind = "date" if is_date else "date and time"
            raise ValueError(f"expected a {kind} like {' or '.join(patterns)}, got {text[:40]!r}")
        return value

    return convert


def _parsed(text: str, pattern: str) -> datetime | None:
    try:
        if pattern in ("epoch", "epoch_ms"):
            return datetime.fromtimestamp(float(Decimal(text) / (1000 if pattern == "epoch_ms" else 1)), UTC)
        return datetime.strptime(text, pattern)  # a naive time stays naive
    except (ValueError, InvalidOperation, OverflowError, OSError):
        return None


def _zoned(zone: ZoneInfo) -> Step:
    """A moment without an offset gets the zone's; of an hour that a clock change repeats it is the first."""

    def convert(value: Any) -> Any:
        if isinstance(value, str) and value.strip():
            try:
                value = datetime.fromisoformat(value.strip())
            except ValueError:
                return value  # the type says what is wrong
        return value.replace(tzinfo=zone) if isinstance(value, datetime) and value.tzinfo is None else value

    return convert
