"""Units of measure by the names that declarations use: of what kind each is, and its exact size in the own unit of that kind."""

from fractions import Fraction
from typing import NamedTuple


class Measure(NamedTuple):
    """`size` of the kind's own unit, and how far its zero lies from that unit's."""

    kind: str
    size: Fraction
    zero: Fraction = Fraction(0)


def _kind(kind: str, **sizes: str) -> dict[str, Measure]:
    return {name: Measure(kind, Fraction(size)) for name, size in sizes.items()}


UNITS: dict[str, Measure] = {
    **_kind("money", fen="0.01", jiao="0.1", yuan="1", wan_yuan="10000", yi_yuan="100000000"),
    **_kind("money of two decimals", cent="0.01", unit="1"),
    **_kind("length", mm="0.001", cm="0.01", m="1", km="1000", inch="0.0254", foot="0.3048", mile="1609.344"),
    **_kind("area", cm2="0.0001", m2="1", mu="2000/3", ha="10000", km2="1000000", sqft="0.09290304"),
    **_kind("mass", mg="0.000001", g="0.001", kg="1", t="1000", liang="0.05", jin="0.5", lb="0.45359237", oz="0.028349523125"),
    **_kind("time", ms="0.001", s="1", min="60", h="3600", day="86400"),
    **_kind("share", ratio="1", percent="0.01", permille="0.001"),
    **_kind("count", one="1", thousand="1000", wan="10000", million="1000000"),
    "celsius": Measure("temperature", Fraction(1), Fraction("273.15")),
    "kelvin": Measure("temperature", Fraction(1)),
    "fahrenheit": Measure("temperature", Fraction(5, 9), Fraction("459.67") * Fraction(5, 9)),
}


def converted(value: Fraction, source: str, target: str) -> Fraction:
    """The same amount in the other unit, exactly. KeyError for a unit that is not known."""
    there, here = UNITS[source], UNITS[target]
    return (value * there.size + there.zero - here.zero) / here.size
