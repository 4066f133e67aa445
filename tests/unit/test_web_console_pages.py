"""The console's words: the same in every language, enough for every state, and never markup."""

from __future__ import annotations

import re

import msgspec
import pytest

from lockerd.model.custody import MOVES, Fault, Motion, Place, SlotRecord, SlotState
from lockerd.model.staffing import (
    BlockedSlot,
    CardFile,
    ChainLink,
    DoubtfulCard,
    LoadLine,
    LoadReport,
    LostCard,
    OpenMatters,
    RejectReason,
)
from lockerd.web.catalogue import LANGUAGES, catalogue
from lockerd.web.common import TEMPLATES
from lockerd.web.console_pages import Page, render_custody, render_login, render_page, render_part, said
from lockerd.web.health import Check, HealthReport, Status

HEALTHY = HealthReport(serving=True)


def part(
    page: Page,
    language: str = "en",
    *,
    health: HealthReport = HEALTHY,
    report: LoadReport = LoadReport(),  # noqa: B008 a frozen value
    slots: tuple[SlotRecord, ...] = (),
) -> str:
    return render_part(page, language, health=health, report=report, slots=slots)


def test_languages_have_the_same_keys_and_fields() -> None:
    shapes = [
        {key: sorted(re.findall(r"{\w+}", words)) for key, words in catalogue(language, "console").texts.items()}
        for language in LANGUAGES
    ]
    assert shapes[0] == shapes[1]


def test_every_text_is_used_by_a_page() -> None:
    source = "".join(path.read_text() for path in (TEMPLATES / "console").glob("*.html"))
    written = set(
        re.findall(r"'([a-z_]+(?:\.[a-z_.]*)?)'", source)
    )  # whole keys, and beginnings that a state completes
    unused = {
        key
        for key in catalogue("en", "console").texts
        if key not in written and not any(key.startswith(begin) for begin in written if begin.endswith("."))
    }
    assert unused == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_has_its_words(language: str) -> None:
    assert catalogue(language, "console")("login.ended") in render_login(language, ended=True)
    assert catalogue(language, "console")("login.ended") not in render_login(language, ended=False)
    for page in (page for page in Page if page is not Page.CUSTODY):
        html = render_page(page, language, "li.wei", part(page, language))
        assert f'lang="{language}"' in html
        assert "li.wei" in html


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ["new", "old"])
def test_every_place_a_card_can_be_has_its_word(language: str, role: str) -> None:
    chain = tuple(
        ChainLink(0.0, None, place, None, "pick", whose)
        for place in Place
        for whose in ("staff:li", "session:j", "machine:b", "office")
    )
    matters = OpenMatters(
        (DoubtfulCard("N000001", role, 7, 0.0, "wang.min"),),
        (BlockedSlot(7, "not_as_recorded", "N000001", 0.0),),
        (LostCard("old-000003", Place.BIN, 0.0, "L-7"),),
    )
    card = CardFile("N000001", role, Place.IN_DOUBT, 7, "staff:li", chain, "L-8")
    html = render_custody(language, "li.wei", wanted="7", card=card, matters=matters)
    assert f'lang="{language}"' in html
    assert html.count("<time") == len(chain) + 3
    assert "old-000003" in html
    assert catalogue(language, "console")("lost.flag", report="L-8") in html
    assert "wang.min" in html


REASONS = re.compile(
    r'(?:stamp\(\)|stamp), "([a-z][a-z ]+)"|reason="([a-z][a-z ]+)"|_slot\(tx, [a-z_.]+, "([a-z][a-z ]+)"'
)


def test_every_reason_in_the_ledger_is_said_in_chinese() -> None:
    places = ("*.py", "journey/*.py", "store/*.py")
    sources = [path.read_text() for place in places for path in TEMPLATES.parents[1].glob(place)]
    written = {next(filter(None, found)) for source in sources for found in REASONS.findall(source)}
    assert len(written) > 8
    for reason in (written | set(Motion)) - {"store"}:
        if reason in {motion.value for motion in Motion} - {motion.value for motion in MOVES}:
            continue
        assert re.search("[\u4e00-\u9fff]", said("zh", reason)), reason


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", RejectReason)
def test_every_rejected_card_has_its_reason(language: str, reason: RejectReason) -> None:
    html = part(Page.LOAD, language, report=LoadReport(False, (LoadLine(1, reason=reason),)))
    assert catalogue(language, "console")(f"reason.{reason}") in html


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_tray_that_waits_for_the_manifest_says_so(language: str) -> None:
    waiting = catalogue(language, "console")("load.waiting")
    assert waiting in part(Page.LOAD, language, report=LoadReport(running=True, waiting=True))
    assert waiting not in part(Page.LOAD, language, report=LoadReport(running=True))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", SlotState)
def test_every_slot_has_its_letter_and_its_number(language: str, state: SlotState) -> None:
    html = part(Page.SLOTS, language, slots=(SlotRecord(41, state, "claim-9", 0.0),))
    carousel = html[html.index("carousel") : html.index("</ol>")]
    assert f'<b aria-hidden="true">{catalogue(language, "console")(f"slot.letter.{state}")}</b>' in carousel
    assert "<span>41</span>" in carousel
    assert "claim-9" not in html


@pytest.mark.parametrize(("serving", "key"), [(True, "serving.yes"), (False, "serving.no")])
def test_overview_says_whether_cards_can_be_collected(serving: bool, key: str) -> None:
    assert catalogue("en", "console")(key) in part(Page.OVERVIEW, health=HealthReport(serving))


def test_overview_says_what_is_wrong_and_what_to_do() -> None:
    health = HealthReport(True, (Check("slots", Status.WARN, "3 blocked", "look into them at the console"),))
    html = part(Page.OVERVIEW, "zh", health=health)
    assert "停用 3 个" in html
    assert said("zh", "look into them at the console") in html


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_of_a_unit_is_said_in_chinese(fault: Fault) -> None:
    assert re.search("[\u4e00-\u9fff]", said("zh", f"reports {fault}"))


def test_sayings_keep_their_numbers() -> None:
    folder = TEMPLATES.parent / "text" / "console"
    for language in LANGUAGES:
        sayings = msgspec.json.decode((folder / f"sayings.{language}.json").read_bytes(), type=dict[str, str])
        for kept in ("{n}", "(…)"):
            assert [key for key, words in sayings.items() if key.count(kept) != words.count(kept)] == []
    assert said("zh", "never heard of 7") == "never heard of 7"


def test_words_of_a_reachable_office_are_not_markup() -> None:
    html = part(Page.OVERVIEW, health=HealthReport(True, (Check("office", Status.WARN, "<b>502</b>", "<i>"),)))
    assert "&lt;b&gt;502&lt;/b&gt;" in html
    assert "<b>502" not in html
    assert "<i>" not in html
