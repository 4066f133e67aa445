"""The pages that a reader is sent to are there, and what is generated in them is fresh."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lockerd.pickup.diagram import with_diagram
from lockerd.pickup.state import Stage
from sim.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/configuration.md",
    "docs/policy.md",
    "systemd/README.md",
)


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def test_the_journeys_diagram_is_that_of_the_table() -> None:
    page = text("docs/architecture.md")
    assert with_diagram(page) == page, "python -m lockerd.pickup.diagram docs/architecture.md"
    for stage in Stage:
        assert re.search(rf"\b{stage}\b", page), stage


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        with_diagram("# nothing")


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", text(page)):
        if "://" not in target and not target.endswith(".png"):
            assert ((ROOT / page).parent / target).exists(), target


def test_the_readme_begins_with_the_two_commands() -> None:
    first = text("README.md").split("\n## ")[0]
    assert re.findall(r"^make (\w+)", first, re.MULTILINE) == ["demo", "test"]
    for name in re.findall(r"sim run ([a-z-]+)", text("README.md")):
        assert name.startswith("--") or name in SCENARIOS
