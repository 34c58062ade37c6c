"""How real data goes wrong: each function takes a clean value and gives a believable bad one, by the given generator."""

from collections.abc import Callable
from random import Random
from typing import Final

WRONG_DATES: Final = ("2024-02-30", "0000-00-00", "1900-01-01", "2099-12-31", "1985/7/1", "19850701", "", "不详")
NO_MOBILE: Final = "00000000000"

Spoiler = Callable[[Random, str], str]


def sometimes(rng: Random, share: float, spoil: Spoiler, value: str) -> str:
    """`value` spoiled with the probability `share` (0 to 1), else as it is."""
    return spoil(rng, value) if rng.random() < share else value


def full_width(value: str) -> str:
    """ASCII digits as the full-width forms a Chinese input method leaves behind."""
    return "".join(chr(ord(character) + 0xFEE0) if "0" <= character <= "9" else character for character in value)


def bad_mobile(rng: Random, mobile: str) -> str:
    forms = (
        "",
        NO_MOBILE,
        full_width(mobile),
        f"{mobile[:3]}-{mobile[3:7]}-{mobile[7:]}",
        f"+86 {mobile}",
        mobile[:10],
        mobile + "  ",
    )
    return rng.choice(forms)


def bad_date(rng: Random, _date: str) -> str:
    return rng.choice(WRONG_DATES)


def bad_id_card(rng: Random, number: str) -> str:
    """Blank, a wrong check digit, a digit lost, or a lower-case x (which is valid, but not as it is printed)."""
    wrong = rng.choice([digit for digit in "0123456789" if digit != number[-1]])
    changed = number[:17] + wrong
    return rng.choice(("", changed, changed, number[:16], number.lower()))


def name_variant(rng: Random, name: str) -> str:
    """The same person as another clerk typed the name."""
    forms = (
        name + " ",
        f"{name[0]} {name[1:]}",
        f"{name[0]}\u3000{name[1:]}",
        name + "（本人）",
        name[0] + "先生" if rng.random() < 0.5 else name[0] + "女士",
        name[0] + "".join(reversed(name[1:])),
    )
    return rng.choice(forms)
