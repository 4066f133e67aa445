"""Draw the journey's table as a Mermaid state diagram: `python -m lockerd.pickup.diagram`."""

from __future__ import annotations

import sys

from lockerd.pickup.state import Stage
from lockerd.pickup.table import TABLE


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


if __name__ == "__main__":
    sys.stdout.write(mermaid())
