"""What the console's handlers share: who asks, in which language, and the two kinds of answer."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import msgspec
from aiohttp import web

from lockerd.web.catalogue import LANGUAGES
from lockerd.web.logins import Logins

TOKEN_COOKIE: Final = "staff"  # noqa: S105 the name of a cookie, no password
STAFF_HEADER: Final = "Console-Staff"
"""Whose page an order comes from, percent-encoded; an order without it comes from no page."""
LANGUAGE_COOKIE: Final = "language"
YEAR_SECONDS: Final = 365 * 24 * 3600


def staff(logins: Logins, request: web.Request, *, use: bool) -> str:
    """Who is logged in; `use` counts as work. Raises HTTPUnauthorized, and HTTPConflict for the page of somebody else.

    Two people with one browser share its cookie: what is pressed on a page that greets the first is not the second's doing.
    """
    name = logins.name_of(request.cookies.get(TOKEN_COOKIE), use=use)
    if name is None:
        raise web.HTTPUnauthorized(text="log in first")
    if unquote(request.headers.get(STAFF_HEADER, "")) not in ("", name):
        raise web.HTTPConflict(text="somebody else has logged in at this browser; open the page again")
    return name


def staff_of_page(logins: Logins, request: web.Request) -> str:
    """Who is logged in and opens a page, which counts as work. Raises HTTPSeeOther to the login, which says if one has ended."""
    token = request.cookies.get(TOKEN_COOKIE)
    name = logins.name_of(token, use=True)
    if name is None:
        raise web.HTTPSeeOther("/login?ended" if token else "/login")
    return name


def language_of(request: web.Request, default: str) -> str:
    """The language that the address asks for, or the one chosen last."""
    for wish in (request.query.get("language"), request.cookies.get(LANGUAGE_COOKIE)):
        if wish in LANGUAGES:
            return wish
    return default


def json_answer(content: object, status: int = 200) -> web.Response:
    """`content` as JSON."""
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")


def html_answer(text: str, language: str, status: int = 200) -> web.Response:
    """A page or a part of one; the browser keeps its language."""
    response = web.Response(text=text, status=status, content_type="text/html")
    response.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR_SECONDS, httponly=True, samesite="Strict", path="/")
    return response
