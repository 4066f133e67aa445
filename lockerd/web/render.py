"""From a view to what the page shows and speaks: a pure map of the journey's state, one template a screen."""

from __future__ import annotations

import io
import re
from functools import cache
from typing import Final

import msgspec
import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from msgspec.structs import replace

from lockerd.model import lettercode
from lockerd.model.view import FaultKind, Notice, Progress, Screen, View, Whereabouts
from lockerd.web.catalogue import LANGUAGES, Catalogue, catalogue
from lockerd.web.common import STATIC, TEMPLATES

STEPS: Final = (Screen.CODE, Screen.IDENTIFY, Screen.FACE, Screen.CONFIRM, Screen.OLD_CARD, Screen.TAKE)
"""The six steps the citizen is told of, in order."""

_STEP_OF: Final = {Screen.REVIEW: Screen.FACE, Screen.FINGERPRINT: Screen.FACE}
"""Screens that are a step together with another; the step is named by what is asked, and "check" before and after."""


class Message(msgspec.Struct, frozen=True):
    """What one view is in one language.

    `html` is a fragment for the page's root, every value escaped; `say` is to be spoken aloud and holds no personal data.
    """

    view: Screen
    lang: str
    html: str
    say: str
    progress: Progress
    notice: Notice | None
    fault: FaultKind | None
    ticket: str | None


def render(view: View, language: str) -> Message:
    """Render `view` in `language` ("zh" or "en"); raises KeyError for another language."""
    return compose(view, language, catalogue(language))


def compose(view: View, language: str, text: Catalogue) -> Message:
    """Render `view` with the texts of `text`, whose keys are all that is read."""
    if view.screen is Screen.FAULT and view.fault is None:
        view = replace(view, fault=FaultKind.IN_DOUBT)  # a page must say something; this is the careful word
    now = _STEP_OF.get(view.screen, view.screen)
    steps = [
        (n, _step_state(screen, now, view), text(_step_name(screen, now, view))) for n, screen in enumerate(STEPS, 1)
    ]
    template = environment().get_template(f"{view.screen}.html")
    html = template.render(
        view=view,
        t=text,
        language=language,
        other=next(code for code in LANGUAGES if code != language),
        steps=steps if now in STEPS and not view.hand_in else [],
        waiting=is_waiting(view),
        next_key=_next_key(view),
        notice_key=_notice_key(view),
        stuck_key=_stuck_key(view),
        qr_prefix=lettercode.QR_PREFIX,
        qr=qr_svg(view.ticket) if view.ticket else None,
    )
    return Message(
        view=view.screen,
        lang=language,
        html=html,
        say=_say(view, text),
        progress=view.progress,
        notice=view.notice,
        fault=view.fault,
        ticket=view.ticket,
    )


def is_waiting(view: View) -> bool:
    """Whether the citizen can only wait: the page then says what the machine does, and nothing else."""
    if view.screen is Screen.OUT_OF_SERVICE:
        return view.progress is Progress.RECOVERING
    return view.screen is not Screen.FAULT and view.progress in _WORKING


def index() -> str:
    """The page around the fragments; it also says "one moment" in every language while the daemon is away."""
    return environment().get_template("index.html").render(texts=[(code, catalogue(code)) for code in LANGUAGES])


def qr_svg(content: str) -> Markup:
    """`content` as an inline SVG of a QR code (ISO/IEC 18004, error correction M), dark on light, with its quiet zone."""
    out = io.BytesIO()
    segno.make(content, error="m", micro=False).save(
        out,
        kind="svg",
        xmldecl=False,
        svgns=False,
        omitsize=True,
        dark="#0b1f2e",
        light="#fff",
        svgclass="qr",
        lineclass=None,
    )
    return Markup(out.getvalue().decode())  # noqa: S704 drawn here, of numbers only


_WORKING: Final = frozenset({Progress.CHECKING, Progress.READING_OLD_CARD, Progress.FETCHING})


@cache
def environment() -> Environment:
    """The templates, autoescaped; an undefined name is an error."""
    made = Environment(
        loader=FileSystemLoader((TEMPLATES, STATIC)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["sentences"] = sentences
    return made


def sentences(words: str) -> Markup:
    """`words` with each sentence (in Chinese each clause) in an element of its own: a line rather ends between two."""
    gap = Markup(" ") if re.search(r"[.?!] ", words) else Markup()
    parts = re.split(r"(?<=[.?!]) |(?<=[，。？！])", words)
    return gap.join(Markup('<span class="line">{}</span>').format(part) for part in parts if part)


def _step_state(screen: Screen, now: Screen, view: View) -> str:
    if screen is now:
        return "now"
    if now not in STEPS or STEPS.index(screen) > STEPS.index(now):
        return "ahead"
    return "skipped" if screen is Screen.OLD_CARD and not view.renewal else "done"


def _step_name(screen: Screen, now: Screen, view: View) -> str:
    if screen is now:
        return f"step.{view.screen}"
    return "step.check" if screen in _STEP_OF.values() else f"step.{screen}"


def _say(view: View, text: Catalogue) -> str:
    """A few short sentences: what happened, what to do, and, near a time-out, how to get more time."""
    words = _say_page(view, text)
    return f"{words} {text('say.warn')}" if view.warn else words


def _say_page(view: View, text: Catalogue) -> str:
    if view.screen is Screen.FAULT:
        return " ".join((text(f"fault.{view.fault}.title") + text("stop"), *_say_after_fault(view, text)))
    if is_waiting(view):
        return text(_notice_key(view) if view.notice else f"progress.{view.progress}")
    if view.screen is Screen.OLD_CARD and view.progress is Progress.RETURNING_OLD_CARD:
        return " ".join((text(_notice_key(view)) if view.notice else "", text("say.take_old"))).strip()
    if view.screen is Screen.IDENTIFY and not view.reader_available and not view.number_allowed:
        return text("identify.stuck_title") + text("stop") + " " + text("identify.stuck_text")
    if view.notice is not None:
        return text(_notice_key(view))
    if view.progress is Progress.REVIEWING:
        return text("review.asked_title") + text("stop")
    if view.screen is Screen.FACE and not view.face_available:
        return f"{text('face.unavailable')} {_say_instead(view, text)}"
    said = text(_said_key(view))
    if view.screen is Screen.FACE or view.screen in _STEP_OF:
        return f"{said} {_say_instead(view, text)}"
    return said


def _said_key(view: View) -> str:
    """The text that is spoken on a page without a notice."""
    match view.screen:
        case Screen.CODE if not view.reader_available:
            return "say.code_only"
        case Screen.IDENTIFY if not view.reader_available:
            return "notice.reader_down"
        case Screen.IDENTIFY if not view.number_allowed:
            return "say.identify_card"
        case Screen.CONFIRM if view.for_other:
            return "say.confirm_other"
        case Screen.OLD_CARD if view.hand_in:
            return "say.found"
        case Screen.OLD_CARD if view.for_other:
            return "say.old_card_other"
    return f"say.{view.screen}"


def _say_instead(view: View, text: Catalogue) -> str:
    return text("say.another_way" if view.another_way else "say.counter")


def _say_after_fault(view: View, text: Catalogue) -> tuple[str, ...]:
    if view.progress is Progress.RECOVERING:
        return (text("fault.recovering"),)
    if view.progress is Progress.RETURNING_OLD_CARD:
        return (text("say.take_old"),)
    if view.progress is Progress.STUCK:
        return (*(text(f"where.{place}") for place in view.whereabouts), text(_stuck_key(view)), text("say.ticket"))
    return (*(text(f"where.{place}") for place in view.whereabouts), text(_next_key(view)))


_ASKS_FOR_CARD: Final = frozenset(
    {
        FaultKind.NO_MATCH,
        FaultKind.REVIEW_REFUSED,
        FaultKind.NO_REVIEWER,
        FaultKind.FINGER_DOWN,
        FaultKind.OTHER_WAY,
    }
)
"""Faults whose next step is the counter, with the ID card."""


_AT_THE_MACHINE: Final = frozenset(
    {
        FaultKind.MORE_NEEDED,
        FaultKind.NO_REVIEWER,
        FaultKind.NOT_TAKEN,
        FaultKind.OLD_CARD_REFUSED,
        FaultKind.POWER,
        FaultKind.CANCELLED,
        FaultKind.TIMED_OUT,
        FaultKind.BUSY,
    }
)
"""Faults after which another try at the machine does, if nothing but a hand at the counter can bring a card forward."""

_HOLDS: Final = frozenset(
    {
        Whereabouts.OLD_AT_THROAT,
        Whereabouts.OLD_INSIDE,
        Whereabouts.OLD_IN_DOUBT,
        Whereabouts.OLD_KEPT,
        Whereabouts.LOST_KEPT,
    }
)
"""Where an ID card is that nobody can bring along."""

_NEEDS_STAFF: Final = frozenset(
    {Whereabouts.NEW_IN_DOUBT, Whereabouts.NEW_AT_EXIT, Whereabouts.OLD_INSIDE, Whereabouts.OLD_IN_DOUBT}
)
"""Where a card is that another try would want in its slot, or in the citizen's hand."""


def _next_key(view: View) -> str:
    """The text of what a fault page tells to do: nobody is asked for the ID card that the machine holds, or to try in vain."""
    if view.fault in _ASKS_FOR_CARD and _HOLDS.intersection(view.whereabouts):
        return "fault.counter.next"
    gone = {Whereabouts.OLD_AT_THROAT, Whereabouts.OLD_KEPT}.intersection(view.whereabouts)
    if view.fault in _AT_THE_MACHINE and _NEEDS_STAFF.intersection(view.whereabouts):
        return f"fault.{FaultKind.IN_DOUBT}.next"
    if view.fault in (FaultKind.MORE_NEEDED, FaultKind.OLD_CARD_REFUSED) and gone:
        return f"fault.{FaultKind.IN_DOUBT}.next"
    return f"fault.{view.fault}.next"


def _stuck_key(view: View) -> str:
    """The text of what comes when a jam is cleared: who has a ticket already was about to leave."""
    return "fault.stuck_ends" if view.ticket else "fault.stuck"


def _notice_key(view: View) -> str:
    """The text of the notice: after the last try of a code nobody is told to try again."""
    last = view.notice is Notice.CODE_WRONG and view.attempts_left == 0
    return f"notice.{view.notice}_last" if last else f"notice.{view.notice}"
