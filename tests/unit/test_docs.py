"""The pages that a reader is sent to are there, and what is generated in them is fresh."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from lockerd.pickup.diagram import with_diagram
from lockerd.pickup.state import Stage
from sim.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(page.relative_to(ROOT)) for pattern in ("*.md", "docs/**/*.md", "systemd/*.md") for page in ROOT.glob(pattern)
)
"""Every page of the repository."""
METRIC = re.compile(r'(Gauge|Counter)(?:MetricFamily)?\(\s*"(lockerd_[a-z_]+)"')
EXAMPLE = "tests/unit/test_x.py"


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


def anchors(page: Path) -> set[str]:
    """What a link may name after #: the headings in small letters, without punctuation, spaces as hyphens."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", text(page)):
        name, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str) -> None:
    """Targets of make, modules, files of the repository, scenarios."""
    words = text(page)
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    for name in re.findall(r"(?:`|^\s*)make ([a-z-]+)", words, re.MULTILINE):
        assert name in targets, name
    for name in re.findall(r"python -m ([\w.]+)", words):
        assert find_spec(name) is not None, name
    for name in re.findall(r"(?<![\w/.-])((?:lockerd|sim|tests|docs|firmware_protocol|systemd)/[\w./-]+)", words):
        path = name.rstrip(".")
        assert (ROOT / path).exists() or path == EXAMPLE, path
    for name in re.findall(r"`(test_\w+\.py)`", words):
        assert list((ROOT / "tests").rglob(name)), name
    for name in re.findall(r"sim run ([a-z-]+)", words):
        assert name.startswith("--") or name in SCENARIOS, name


def test_every_target_of_make_is_told_and_phony() -> None:
    makefile = text("Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"^# make ([a-z-]+)", makefile, re.MULTILINE)) == targets
    assert set(re.findall(r"^\.PHONY: (.*)", makefile, re.MULTILINE)[0].split()) == targets


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#]+\.md)\)", text("README.md")))
    assert linked | {"README.md"} == set(PAGES)


def test_the_readme_begins_with_the_two_commands() -> None:
    first = text("README.md").split("\n## ")[0]
    assert re.findall(r"^make (\w+)", first, re.MULTILINE) == ["demo", "test"]


def test_what_monitoring_sees_is_told() -> None:
    """Each check and metric that the code names, and none that it does not."""
    code = text("lockerd/checks.py")
    checks = set(re.findall(r'(?:Check|_check)\("([a-z_]+)"', code)) | set(
        re.findall(r'^ {8}\("([a-z]+)", ', code, re.MULTILINE)
    )
    checks |= {"dispenser", "recycler", "reader.counter", "reader.throat", "reader.exit"}
    told = text("systemd/README.md").split("| check |")[1].split("| metric |")
    assert set(re.findall(r"`([a-z_.]+)`", re.sub(r"\| [^|]*\|$", "", told[0], flags=re.MULTILINE))) == checks
    families = {name for path in (ROOT / "lockerd").rglob("*.py") for name in METRIC.findall(path.read_text("utf-8"))}
    metrics = {f"{name}{'_total' * (kind == 'Counter')}" for kind, name in families}
    named = {name for page in PAGES for name in re.findall(r"`(lockerd_[a-z_]+)", text(page))}
    assert named == metrics


def test_every_event_for_the_office_is_told() -> None:
    """The page names each in full, or as `.end` behind one with the same beginning."""
    code = "".join(path.read_text("utf-8") for path in (ROOT / "lockerd").rglob("*.py"))
    journalled = set(re.findall(r'"(lockerd\.[a-z]+\.[a-z_]+)"', code)) - {"lockerd.face.worker"}
    told, room = set(), ""
    for name in re.findall(r"`((?:lockerd\.[a-z]+)?\.[a-z_]+)`", text("docs/office.md").split("## Events")[1]):
        room = room if name.startswith(".") else name.rpartition(".")[0]
        told.add(room + name if name.startswith(".") else name)
    assert told == journalled
