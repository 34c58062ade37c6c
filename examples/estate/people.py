"""The persons of the sample estate: households with names, valid ID cards (GB 11643), mobiles, mails and addresses."""

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Final

from examples.estate import vocabulary

WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECK_CHARACTERS: Final = "10X98765432"
ADULT_BORN: Final = 2002
RARE_NAMES: Final = 0.025


@dataclass(frozen=True, slots=True)
class Person:
    """One person as nature made him or her; what each system knows of it is another matter. `number` starts at 0."""

    number: int
    household: int
    name: str
    gender: str
    born: date
    id_card: str
    mobile: str
    second_mobile: str
    email: str
    openid: str
    city: str
    address: str

    @property
    def is_adult(self) -> bool:
        """Old enough to buy, own and recommend in all the years that the estate covers."""
        return self.born.year <= ADULT_BORN


def check_character(first_17: str) -> str:
    """The 18th character of an ID card after GB 11643-1999 (ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * weight for digit, weight in zip(first_17, WEIGHTS, strict=True))
    return CHECK_CHARACTERS[total % 11]


def make_people(seed: int, count: int) -> list[Person]:
    """`count` persons in households of one to four who share city, address and often the family phone."""
    rng = Random(f"{seed}:people")
    people: list[Person] = []
    household = 0
    while len(people) < count:
        size = min(rng.choice((1, 1, 2, 2, 3, 3, 4)), count - len(people))
        people += _household(rng, household, len(people), size)
        household += 1
    return people


def _household(rng: Random, household: int, first: int, size: int) -> list[Person]:
    city = rng.choice(tuple(vocabulary.STREETS))
    address = _address(rng, city)
    surname = _surname(rng)
    family_phone = _mobile(rng)
    members = []
    for place in range(size):
        own_surname = _surname(rng) if place == 1 else surname
        # Husband and wife are of one age, their children a generation younger.
        born = date(1950, 1, 1) + timedelta(days=rng.randrange(365 * 45) if place < 2 else 365 * 55 + rng.randrange(2500))
        shares_phone = place > 0 and rng.random() < (0.2 if place == 1 else 0.6)
        mobile = family_phone if place == 0 or shares_phone else _mobile(rng)
        members.append(_person(rng, first + place, household, own_surname, born, mobile, city, address))
    return members


def _person(rng: Random, number: int, household: int, surname: str, born: date, mobile: str, city: str, address: str) -> Person:
    gender = rng.choice("男女")
    second_mobile = _mobile(rng) if rng.random() < 0.25 else ""
    return Person(
        number=number,
        household=household,
        name=surname + _given(rng, gender),
        gender=gender,
        born=born,
        id_card=_id_card(rng, city, born, gender),
        mobile=mobile,
        second_mobile=second_mobile,
        email=f"user{rng.randrange(10**7):07d}@{rng.choice(vocabulary.MAIL_DOMAINS)}" if rng.random() < 0.6 else "",
        openid="o" + "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", k=27)),
        city=city,
        address=address,
    )


def _surname(rng: Random) -> str:
    return rng.choice(vocabulary.DOUBLE_SURNAMES) if rng.random() < 0.01 else rng.choice(vocabulary.SURNAMES)


def _given(rng: Random, gender: str) -> str:
    characters = vocabulary.MALE_GIVEN if gender == "男" else vocabulary.FEMALE_GIVEN
    given = "".join(rng.choices(characters, k=rng.choice((1, 2, 2, 2))))
    return given[:-1] + rng.choice(vocabulary.RARE_GIVEN) if rng.random() < RARE_NAMES else given


def _mobile(rng: Random) -> str:
    return f"{rng.choice(vocabulary.MOBILE_PREFIXES)}{rng.randrange(10**8):08d}"


def _id_card(rng: Random, city: str, born: date, gender: str) -> str:
    order = rng.randrange(499) * 2 + (1 if gender == "男" else 2)
    first_17 = f"{rng.choice(vocabulary.REGION_CODES[city])}{born:%Y%m%d}{order:03d}"
    return first_17 + check_character(first_17)


def _address(rng: Random, city: str) -> str:
    street = rng.choice(vocabulary.STREETS[city])
    house, block, entrance = rng.randrange(1, 400), rng.randrange(1, 30), rng.randrange(1, 4)
    return f"{city}市{street}{house}号{block}幢{entrance}单元{rng.randrange(1, 26)}0{rng.randrange(1, 5)}室"
