"""Draw the journey's table as a Mermaid state diagram.

`python -m lockerd.pickup.diagram` prints it; with the name of a Markdown file it is put there between its two markers.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lockerd.pickup.state import Stage
from lockerd.pickup.table import TABLE

BEGIN = "<!-- diagram: python -m lockerd.pickup.diagram docs/architecture.md -->"
END = "<!-- end of diagram -->"


def mermaid() -> str:
    """The diagram's text; rows between the same two stages share an arrow."""
    arrows: dict[tuple[Stage, Stage], list[str]] = {}
    for row in TABLE:
        if row.to is None:
            continue
        labels = arrows.setdefault((row.source, row.to), [])
        if row.label not in labels:
            labels.append(row.label)
    lines = ["stateDiagram-v2", f"    [*] --> {Stage.IDLE}"]
    lines += [f"    {source} --> {to}: {' / '.join(labels)}" for (source, to), labels in arrows.items()]
    return "\n".join(lines) + "\n"


def with_diagram(page: str) -> str:
    """The Markdown `page` with the diagram of now between its markers. Raises ValueError where they are missing."""
    before, found, rest = page.partition(BEGIN)
    _old, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"the page lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n```mermaid\n{mermaid()}```\n\n{END}{after}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        file = Path(sys.argv[1])
        file.write_text(with_diagram(file.read_text("utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(mermaid())
