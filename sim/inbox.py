"""The telephones of the simulated town: shows the SMS files that lockerd leaves in a folder."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from aiohttp import web

from sim.serving import serve


def messages(directory: Path) -> list[dict[str, Any]]:
    """Every whole message in `directory`, oldest first; a file that is not one is passed over."""
    found: list[dict[str, Any]] = []
    for path in directory.glob("*.json"):
        try:
            message = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(message, dict) and message.keys() >= {"id", "phone", "text", "at"}:
            found.append(message)
    return sorted(found, key=lambda message: (message["at"], message["id"]))


def application(directory: Path) -> web.Application:
    """`GET /` a page like a telephone's, `GET /messages` the same as JSON."""
    page = resources.files("sim").joinpath("inbox.html").read_text("utf-8")

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    async def listed(_: web.Request) -> web.Response:
        return web.json_response(messages(directory), headers={"Cache-Control": "no-store"})

    app = web.Application()
    app.add_routes([web.get("/", show), web.get("/messages", listed)])
    return app


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `python -m sim inbox`."""
    parser.add_argument("--directory", type=Path, required=True, metavar="DIR", help="folder of the SMS files")
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")


def run(arguments: argparse.Namespace) -> int:
    """Show the inbox; returns the exit status."""
    asyncio.run(serve("inbox", application(arguments.directory), arguments.listen))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="sim inbox", description="the simulated town's telephones")
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
