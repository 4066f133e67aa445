"""Every state of the journey has a page, in every language, and the catalogue holds exactly what the pages need."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from lockerd.model.policy import Evidence
from lockerd.model.view import FaultKind, Notice, Progress, Screen, View, Whereabouts
from lockerd.web.catalogue import LANGUAGES, Catalogue, catalogue
from lockerd.web.render import compose, index, render, sentences

HELD = (
    Whereabouts.OLD_AT_THROAT,
    Whereabouts.OLD_INSIDE,
    Whereabouts.OLD_IN_DOUBT,
    Whereabouts.OLD_KEPT,
    Whereabouts.LOST_KEPT,
)
SHELL = {"moment.title", "moment.text", "app.name"}  # read by the page around the fragments


def every_view() -> list[View]:
    views = []
    for screen in Screen:
        fault = FaultKind.JAM if screen is Screen.FAULT else None
        base = View(screen, fault=fault, masked_name="李*明", masked_number="9901**********1234")
        views += [
            base,
            replace(base, renewal=True),
            replace(base, damaged=True),
            replace(base, another_way=True),
            replace(base, warn=True, seconds_left=20),
            replace(base, warn=True),
            replace(base, seconds_left=45),
            replace(base, reader_available=False),
            replace(base, number_allowed=False),
            replace(base, number_allowed=False, reader_available=False),
            replace(base, face_available=False),
            replace(base, no_code_allowed=False),
            replace(base, for_other=True),
            replace(base, wanted=tuple(Evidence)),
            replace(base, renewal_available=False),
            replace(base, finger_available=False),
            replace(base, hand_in=True),
            replace(base, ticket="4821-7730", attempts_left=2),
        ]
        views += [replace(base, progress=progress) for progress in Progress]
        views += [replace(base, notice=notice, attempts_left=3) for notice in Notice]
        views += [replace(base, notice=Notice.CODE_WRONG, attempts_left=0)]
        views += [replace(base, progress=Progress.STUCK, ticket="4821-7730")]
    for fault in FaultKind:
        views += [View(Screen.FAULT, fault=fault, whereabouts=(place,), ticket="4821-7730") for place in Whereabouts]
    return views


class Recorder(Catalogue):
    def __init__(self, texts: dict[str, str]) -> None:
        super().__init__(texts)
        self.used: set[str] = set()

    def __call__(self, key: str, **fields: object) -> str:
        self.used.add(key)
        return super().__call__(key, **fields)


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_is_complete_and_holds_nothing_unused(language: str) -> None:
    text = Recorder(dict(catalogue(language).texts))
    for view in every_view():
        compose(view, language, text)
    assert set(text.texts) - text.used - SHELL == set()
    assert all(words.strip() for words in text.texts.values())


def test_languages_have_the_same_fields() -> None:
    fields = [
        {key: sorted(re.findall(r"{\w+}", words)) for key, words in catalogue(code).texts.items()} for code in LANGUAGES
    ]
    assert fields[0] == fields[1]


@pytest.mark.parametrize(
    ("language", "forbidden"),
    [
        ("zh", ("领证码", "提取码", "验证码", "新卡", "旧卡", "柜台", "票号", "居民证")),
        ("en", ("collection code", "PIN", "identity card", "desk", "receipt", "pick-up")),
    ],
)
def test_one_word_for_one_thing(language: str, forbidden: tuple[str, ...]) -> None:
    assert [
        (key, word) for key, words in catalogue(language).texts.items() for word in forbidden if word in words
    ] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_speech_holds_no_personal_data(language: str) -> None:
    for view in every_view():
        said = render(view, language).say
        assert said
        assert "李" not in said
        assert not re.search(r"\*|\d{4}", said)


def test_values_are_escaped() -> None:
    html = render(View(Screen.CONFIRM, masked_name="<b>*&", masked_number='"><i>'), "zh").html
    assert "<b>" not in html
    assert "<i>" not in html
    assert "&lt;b&gt;*&amp;" in html


def test_fault_page_says_what_where_next_and_the_ticket() -> None:
    places = (Whereabouts.NEW_SAFE_INSIDE, Whereabouts.OLD_WITH_YOU)
    message = render(View(Screen.FAULT, fault=FaultKind.NOT_TAKEN, whereabouts=places, ticket="4821-7730"), "en")
    text = catalogue("en")
    for key in ("fault.not_taken.title", "fault.not_taken.next", "where.new_safe_inside", "where.old_with_you"):
        assert text(key) in message.html
        assert text(key) in message.say
    assert "4821-7730" in message.html
    assert '<svg viewBox="0 0' in message.html
    assert (message.ticket, message.fault) == ("4821-7730", FaultKind.NOT_TAKEN)


def test_a_fault_page_says_that_the_card_is_brought_to_safety_before_it_says_that_it_is_safe() -> None:
    places = (Whereabouts.NEW_AT_EXIT, Whereabouts.OLD_INSIDE)
    fault = View(Screen.FAULT, fault=FaultKind.NOT_TAKEN, whereabouts=places, ticket="4821-7730")
    moving = render(replace(fault, progress=Progress.RECOVERING), "en")
    text = catalogue("en")
    for words in (moving.html, moving.say):
        assert text("fault.recovering") in words
        assert text("where.new_at_exit") not in words
    assert "4821-7730" in moving.html
    assert 'data-action="close"' not in moving.html


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("fault", FaultKind)
def test_nobody_is_told_to_bring_the_id_card_that_the_machine_holds(fault: FaultKind, held: Whereabouts) -> None:
    for language, words in (("zh", "带身份证"), ("en", "your ID card")):
        message = render(View(Screen.FAULT, fault=fault, whereabouts=(held,), ticket="4821-7730"), language)
        assert words not in message.say
        assert words not in message.html


def test_the_old_card_is_offered_back_before_anything_else_is_asked() -> None:
    fault = View(Screen.FAULT, fault=FaultKind.JAM, ticket="4821-7730", progress=Progress.RETURNING_OLD_CARD)
    refused = View(Screen.OLD_CARD, notice=Notice.OLD_CARD_NOT_YOURS, progress=Progress.RETURNING_OLD_CARD)
    for view, title in ((fault, "fault.take_title"), (refused, "old_card.take_title")):
        message = render(view, "zh")
        assert catalogue("zh")(title) in message.html
        assert catalogue("zh")("say.take_old") in message.say
    assert catalogue("zh")("old_card.title") in render(replace(refused, progress=Progress.NONE), "zh").html


def test_where_only_the_card_will_do_no_number_is_asked_for() -> None:
    for reader in (True, False):
        html = render(View(Screen.IDENTIFY, number_allowed=False, reader_available=reader), "zh").html
        assert "keypad" not in html
        assert "data-choose" not in html
        assert "data-entry" not in html
        assert (catalogue("zh")("identify.stuck_title") in html) is not reader


def test_a_fault_without_a_kind_still_has_a_page() -> None:
    assert render(View(Screen.FAULT), "zh").fault is FaultKind.IN_DOUBT


@pytest.mark.parametrize("language", LANGUAGES)
def test_language_button_and_a_way_out_are_on_every_page(language: str) -> None:
    leaving = {Screen.IDENTIFY, Screen.FACE, Screen.REVIEW, Screen.FINGERPRINT, Screen.CONFIRM, Screen.OLD_CARD}
    for view in every_view():
        html = render(view, language).html
        still = view.progress is Progress.NONE
        at_rest = still or view.progress in {Progress.LOOKING, Progress.REVIEWING}
        assert 'data-action="language"' in html
        assert ('data-action="cancel"' in html) == (view.screen in leaving and at_rest)
        assert ('data-action="close"' in html) == (view.screen in {Screen.DONE, Screen.FAULT} and still)
        assert ('data-action="more_time"' in html) == view.warn


@pytest.mark.parametrize("progress", [Progress.CHECKING, Progress.READING_OLD_CARD, Progress.FETCHING])
def test_waiting_pages_offer_nothing_to_press(progress: Progress) -> None:
    html = render(View(Screen.IDENTIFY, progress=progress), "zh").html
    assert catalogue("zh")(f"progress.{progress}") in html
    assert set(re.findall(r'data-action="(\w+)"', html)) == {"language"}


def test_chinese_has_full_width_punctuation() -> None:
    half = re.compile("(?<=[\u4e00-\u9fff])[,.;:?!()]|[,.;:?!()](?=[\u4e00-\u9fff])")
    for room in ("", "console"):
        texts = catalogue("zh", room).texts
        assert {key: words for key, words in texts.items() if half.search(words)} == {}


def test_each_sentence_is_a_line_of_its_own_if_it_can_be() -> None:
    assert sentences("好，请<等>！") == '<span class="line">好，</span><span class="line">请&lt;等&gt;！</span>'
    assert sentences("Well. Wait, 1.5 s") == '<span class="line">Well.</span> <span class="line">Wait, 1.5 s</span>'


def test_another_language_is_refused() -> None:
    with pytest.raises(KeyError):
        render(View(Screen.CODE), "../en")


class Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert name != "style", f"inline style on <{tag}>"
            assert not name.startswith("on"), f"inline handler on <{tag}>"
            if name in {"src", "href"}:
                self.found.append(str(value))


def test_pages_load_nothing_from_elsewhere() -> None:
    parser = Loads()
    parser.feed(index())
    for view in every_view():
        parser.feed(render(view, "zh").html)
    assert parser.found
    assert all(address.startswith("/static/") for address in parser.found)


@pytest.mark.parametrize(
    ("language", "screen", "name"),
    [
        ("en", Screen.FACE, "Face"),
        ("en", Screen.FINGERPRINT, "Finger"),
        ("en", Screen.REVIEW, "Review"),
        ("zh", Screen.FACE, "人脸"),
        ("zh", Screen.FINGERPRINT, "指纹"),
        ("zh", Screen.REVIEW, "远程核对"),
    ],
)
def test_the_third_step_is_named_by_what_is_asked(language: str, screen: Screen, name: str) -> None:
    steps = re.findall(
        r'<li class="step (\w+)".*?<span class="(?:name|unseen)">(.*?)</span>', html(screen, language), re.S
    )
    assert steps[2] == ("now", name)
    neutral = {"en": "Check", "zh": "核验"}[language]
    for other in (Screen.CODE, Screen.CONFIRM):
        assert f'<span class="unseen">{neutral}</span>' in html(other, language)


def html(screen: Screen, language: str) -> str:
    return render(View(screen), language).html
