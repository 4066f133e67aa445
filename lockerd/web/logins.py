"""Who is logged in at the console: random tokens that end when unused, in memory only, so a restart ends them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

IDLE_SECONDS: Final = 600.0
"""A login that was not used for this long has ended."""

MOST_LOGINS: Final = 4
"""So many logins at once; one more ends the one that was unused for longest."""


@dataclass(frozen=True, slots=True)
class Login:
    """One person at one browser. `used` is the clock's reading at the last use."""

    name: str
    used: float


class Logins:
    """The present logins. `new_token` gives an unguessable string; `now` is a clock in seconds that never goes back."""

    def __init__(self, new_token: Callable[[], str], now: Callable[[], float]) -> None:
        self._new_token = new_token
        self._now = now
        self._logins: dict[str, Login] = {}

    def begin(self, name: str) -> str:
        """Log `name` in; returns the new token."""
        self._forget_idle()
        while len(self._logins) >= MOST_LOGINS:
            del self._logins[min(self._logins, key=lambda token: self._logins[token].used)]
        token = self._new_token()
        self._logins[token] = Login(name, self._now())
        return token

    def name_of(self, token: str | None, *, use: bool) -> str | None:
        """Who holds `token`, None for nobody (any more). `use` counts as work and puts the end off."""
        self._forget_idle()
        login = self._logins.get(token) if token else None
        if login is None or token is None:
            return None
        if use:
            self._logins[token] = replace(login, used=self._now())
        return login.name

    def end(self, token: str | None) -> None:
        """Log out; an unknown token is no error."""
        if token:
            self._logins.pop(token, None)

    def _forget_idle(self) -> None:
        oldest = self._now() - IDLE_SECONDS
        self._logins = {token: login for token, login in self._logins.items() if login.used > oldest}
