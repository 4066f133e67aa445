"""Health answers for monitoring: /livez, /readyz and /metrics on a listener of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from lockerd.web.common import secure

HEALTH_JSON = "application/health+json"


class Status(StrEnum):
    """Verdict words of draft-inadarei-api-health-check-06, clause 3.1."""

    PASS = "pass"  # noqa: S105 a verdict of the draft, no password
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the machine as monitoring sees it.

    `name` is stable (it becomes a key: "bus", "office", "reader.exit"); `what` says what is observed and `remedy` what a
    person can do, both without personal data; both may be empty while the status is PASS.
    """

    name: str
    status: Status
    what: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The whole answer. `serving` is False only if no pickup at all can be served; all else is a warning."""

    serving: bool
    checks: tuple[Check, ...] = ()

    @property
    def status(self) -> Status:
        """FAIL when nothing can be served, WARN while any check is not PASS, else PASS."""
        if not self.serving:
            return Status.FAIL
        return Status.WARN if any(check.status is not Status.PASS for check in self.checks) else Status.PASS


def encode(report: HealthReport, *, verbose: bool) -> bytes:
    """The report as application/health+json; `verbose` names each check with `output` and `remedy`."""
    body: dict[str, object] = {"status": report.status}
    if verbose:
        checks: dict[str, list[dict[str, str]]] = {}
        for check in report.checks:
            line = {"status": check.status.value, "output": check.what, "remedy": check.remedy}
            checks.setdefault(check.name, []).append({key: value for key, value in line.items() if value})
        body["checks"] = checks
    return msgspec.json.encode(body)


def health_app(*, report: Callable[[], HealthReport], registry: CollectorRegistry) -> web.Application:
    """Serve the health answers. `report` must answer at once from what is already known.

    /livez is 200 whenever the event loop turns; /readyz is 503 only if no pickup can be served, and `?verbose` names
    each check; /metrics is the text of `registry`.
    """

    async def livez(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode({"status": Status.PASS}), content_type=HEALTH_JSON)

    async def readyz(request: web.Request) -> web.Response:
        now = report()
        return web.Response(
            status=200 if now.serving else 503,
            body=encode(now, verbose="verbose" in request.query),
            content_type=HEALTH_JSON,
        )

    async def metrics(request: web.Request) -> web.Response:
        write, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=write(registry), headers={"Content-Type": content_type})

    app = web.Application()
    secure(app)
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app
