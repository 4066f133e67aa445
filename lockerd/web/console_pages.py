"""From what the machine knows to the pages of the staff console: a pure map, every value escaped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from lockerd.model.custody import SlotRecord, SlotState
from lockerd.model.staffing import WHERE_FOUND, CardFile, Grounds, LoadReport, OpenMatters
from lockerd.web.catalogue import LANGUAGES, catalogue
from lockerd.web.health import HealthReport, Status
from lockerd.web.render import environment


class Page(StrEnum):
    """The pages behind the login, in the order of the menu."""

    OVERVIEW = "overview"
    LOAD = "load"
    SLOTS = "slots"
    CUSTODY = "custody"
    BIN = "bin"

    @property
    def path(self) -> str:
        """Where it is served."""
        return "/" if self is Page.OVERVIEW else f"/{self}"


LIVE: Final = frozenset({Page.OVERVIEW, Page.LOAD, Page.SLOTS})
"""Pages with a part that shows the present and is fetched again and again."""


_KEPT: Final = r"\(.*\)|\d+"


def said(language: str, words: str) -> str:
    """What a room below said, in `language`; as it was said where the list of its sayings lacks it.

    Those rooms speak English, and name their parts by keys ("reader.exit"). Numbers and what is in brackets are kept: "3
    blocked" is looked up as "{n} blocked", "failed (no room)" as "failed (…)".
    """
    kept = re.findall(_KEPT, words)
    found = _sayings(language).get(re.sub(_KEPT, lambda one: "(…)" if one[0][0] == "(" else "{n}", words))
    if found is None:
        return words
    left = iter(kept)
    return re.sub(r"\(…\)|{n}", lambda _: next(left), found)


def render_login(language: str, *, ended: bool, not_done: bool = False) -> str:
    """The page that asks for name and PIN; `ended` says that a login has ended, `not_done` that an order came too late."""
    return _render("login.html", language, name="", ended=ended, not_done=not_done)


def render_trouble(language: str, words: str) -> str:
    """The page in the place of one that cannot be made: why not, and the way to the overview, which needs no database."""
    return _render("trouble.html", language, name="", words=words)


def render_page(page: Page, language: str, name: str, part: str) -> str:
    """`page` for the staff member `name`, around its live part (HTML of `render_part`)."""
    return _render(f"{page}.html", language, page=page, pages=list(Page), name=name, live_part=part)


def render_part(
    page: Page, language: str, *, health: HealthReport, report: LoadReport, slots: Sequence[SlotRecord]
) -> str:
    """The live part of `page`, a fragment; empty for a page that has none."""
    if page not in LIVE:
        return ""
    stored = sum(line.reason is None for line in report.lines)
    return _render(
        f"part_{page}.html",
        language,
        health=health,
        troubles=[check for check in health.checks if check.status is not Status.PASS],
        well=[check for check in health.checks if check.status is Status.PASS],
        report=report,
        stored=stored,
        rejected=len(report.lines) - stored,
        slots=slots,
        states=list(SlotState),
        counts=Counter(slot.state for slot in slots),
        blocked=[slot for slot in slots if slot.state is SlotState.BLOCKED],
    )


def render_custody(language: str, name: str, *, wanted: str, card: CardFile | None, matters: OpenMatters) -> str:
    """The custody page: the card that was asked for by `wanted`, and what only staff can end."""
    return _render(
        "custody.html",
        language,
        page=Page.CUSTODY,
        pages=list(Page),
        name=name,
        wanted=wanted,
        card=card,
        matters=matters,
        places=WHERE_FOUND,
        grounds=list(Grounds),
    )


def _render(template: str, language: str, **values: object) -> str:
    return (
        environment()
        .get_template(f"console/{template}")
        .render(
            t=catalogue(language, "console"),
            said=lambda words: said(language, words),
            utc=lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds"),
            language=language,
            other=next(code for code in LANGUAGES if code != language),
            **values,
        )
    )


@cache
def _sayings(language: str) -> dict[str, str]:
    path = Path(__file__).parent / "text" / "console" / f"sayings.{language}.json"
    return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
