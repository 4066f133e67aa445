"""The people of the simulated town and their cards. None of them exists.

Numbers carry region codes from 990101 on, which are not issued; telephone numbers lie in a range without subscribers.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Literal

from firmware_protocol.cardtext import LONG_TERM
from firmware_protocol.idnumber import check_digit

Kind = Literal["renewal", "replacement"]
Role = Literal["new", "old"]
Sex = Literal["1", "2"]

_FIRST_REGION = 990101
_REGIONS = 9000
_MADE = date(2026, 5, 11)  # the day on which the simulated office made the new cards
_SURNAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏"
)
_GIVEN: dict[Sex, str] = {
    "1": "伟强磊军洋勇杰涛明超刚平辉鹏华飞鑫波斌宇浩凯健俊帆帅旭宁龙林",
    "2": "芳娜敏静秀丽艳娟霞燕玲桂英萍红玉兰梅莉洁婷雪慧倩琳颖欣怡佳悦",
}


@dataclass(frozen=True, slots=True)
class Card:
    """One resident ID card. Dates are YYYYMMDD; `valid_to` may be 长期 (no end), as on the chip.

    `card_id` is "N000001" for a new card, where it is the production number, or "O000001" for its predecessor.
    """

    card_id: str
    person_id: str
    id_number: str
    name: str
    valid_from: str
    valid_to: str
    role: Role


@dataclass(frozen=True, slots=True)
class Citizen:
    """One synthetic person. `sex` is coded as in GB/T 2261.1 (1 male, 2 female), `birth` is YYYYMMDD, `phone` is E.164.

    `old_card` is None for a replacement: the predecessor is the `lost_card`, which may be found again.
    """

    person_id: str
    name: str
    sex: Sex
    birth: str
    id_number: str
    phone: str
    face_seed: int
    kind: Kind
    old_card: Card | None
    new_card: Card
    lost_card: Card | None = None


def population(seed: int, n: int) -> tuple[Citizen, ...]:
    """The first `n` people (1 <= n <= 9000) of the town that `seed` makes, "p1" to "pN"; a larger `n` only adds people.

    Every third one lost the old card, every fifth from the second on is a minor.
    All ID numbers, phones and card ids are different. Raises ValueError for another `n`.
    """
    if not 1 <= n <= _REGIONS:
        raise ValueError(f"a town has 1 to 9000 people, not {n}")
    return tuple(citizen(seed, number) for number in range(1, n + 1))


def citizen(seed: int, number: int) -> Citizen:
    """The person `number` (from 1) of the town that `seed` makes; regions come round after 9000."""
    random = Random(f"{seed}:{number}")
    sex: Sex = random.choice(("1", "2"))
    name = random.choice(_SURNAMES) + "".join(random.choices(_GIVEN[sex], k=random.choice((1, 2, 2, 2))))
    days = random.randrange(365 * 57)
    birth = (
        date(2012, 1, 1) + timedelta(days=days % 1000) if number % 5 == 2 else date(1941, 1, 1) + timedelta(days=days)
    )
    order = random.randrange(500) * 2 + (1 if sex == "1" else 0)  # odd for men (GB 11643)
    first17 = f"{_FIRST_REGION + (number - 1) % _REGIONS}{birth:%Y%m%d}{order:03d}"
    id_number = first17 + check_digit(first17)
    person_id = f"p{number}"

    def card(letter: str, made: date, role: Role) -> Card:
        return Card(f"{letter}{number:06d}", person_id, id_number, name, f"{made:%Y%m%d}", _end(birth, made), role)

    made = _MADE + timedelta(days=random.randrange(30))
    replacement = number % 3 == 0
    age = _age(birth, made)
    held = 20 if age >= 46 else 10 if age >= 16 else 5  # years since the predecessor was made
    old_made = _years_before(made, held) + timedelta(days=random.randrange(20, 90))
    return Citizen(
        person_id=person_id,
        name=name,
        sex=sex,
        birth=f"{birth:%Y%m%d}",
        id_number=id_number,
        phone=f"+8619900{number:06d}",
        face_seed=random.randrange(10_000_000, 2**31),  # above the faces that models are trained and measured with
        kind="replacement" if replacement else "renewal",
        old_card=None if replacement else card("O", old_made, "old"),
        new_card=card("N", made, "new"),
        lost_card=card("O", old_made, "old") if replacement else None,
    )


def _age(birth: date, at: date) -> int:
    return at.year - birth.year - ((at.month, at.day) < (birth.month, birth.day))


def _end(birth: date, made: date) -> str:
    """Until when a card made on that day is valid: 5, 10 or 20 years by age, from 46 on without an end."""
    age = _age(birth, made)
    if age >= 46:
        return LONG_TERM
    years = 5 if age < 16 else 10 if age < 26 else 20
    return f"{_years_before(made, -years):%Y%m%d}"


def _years_before(day: date, years: int) -> date:
    year = day.year - years
    if day.month == 2 and day.day == 29 and not calendar.isleap(year):
        return day.replace(year=year, day=28)
    return day.replace(year=year)
