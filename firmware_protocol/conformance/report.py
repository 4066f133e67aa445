"""What a run of the kit found, as text to read and as JSON to keep beside a delivery."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from firmware_protocol.blocks import IdentityBlock
from firmware_protocol.conformance.findings import Defect


class Verdict(StrEnum):
    """How one check ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One check: its `clause` of the reference, what was `seen`, and the `defect` if it failed."""

    check: str
    clause: str
    verdict: Verdict
    seen: str
    defect: Defect | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One run against one unit. `protocol` is the kit's version of it, `unit_protocol` the unit's; `date` is YYYY-MM-DD.

    `longest_answer_ms` and `answers` are over the whole run.
    """

    kit: str
    protocol: str
    date: str
    line: str
    unit: int
    identity: IdentityBlock | None
    unit_protocol: str
    results: tuple[Result, ...]
    answers: int
    longest_answer_ms: float

    @property
    def status(self) -> int:
        """Exit status: 0 all checked and right, 1 something is wrong, 2 nothing wrong but not all could be checked."""
        verdicts = {result.verdict for result in self.results}
        if Verdict.FAILED in verdicts:
            return 1
        return 2 if Verdict.SKIPPED in verdicts or not verdicts else 0

    @property
    def defects(self) -> tuple[Defect, ...]:
        """Every defect found, in the order of the checks, each once."""
        return tuple(dict.fromkeys(result.defect for result in self.results if result.defect is not None))

    def to_json(self) -> dict[str, Any]:
        """The report in JSON's types."""
        return {
            "kit": self.kit,
            "protocol": self.protocol,
            "date": self.date,
            "line": self.line,
            "unit": self.unit,
            "identity": self.identity and {**asdict(self.identity), "kind": self.identity.kind.name.lower()},
            "unit_protocol": self.unit_protocol,
            "verdict": _VERDICTS[self.status],
            "status": self.status,
            "defects": {defect.value: defect.meaning for defect in self.defects},
            "answers": self.answers,
            "longest_answer_ms": self.longest_answer_ms,
            "checks": [asdict(result) for result in self.results],
        }

    def to_text(self) -> str:
        """The report for people, with a last line break."""
        who = self.identity
        lines = [
            "Conformance report",
            f"  date      {self.date}",
            f"  kit       {self.kit}, protocol {self.protocol}",
            f"  line      {self.line}, unit address {self.unit}",
            "  unit      "
            + (
                f"{who.kind.name.lower()}, serial number {who.serial}, {who.capacity} slots,"
                f" protocol {self.unit_protocol}"
                if who
                else "not known"
            ),
            f"  answers   {self.answers}, the longest after {self.longest_answer_ms:.1f} ms"
            + (f" (declared: {who.max_response_ms} ms)" if who else ""),
            "",
        ]
        for result in self.results:
            lines.append(f"[{result.verdict.upper():7}] {result.check}  ({result.clause})")
            if result.defect is not None:
                lines.append(f"          DEFECT {result.defect}: {result.defect.meaning}")
            lines.append(f"          {result.seen}")
        count = Counter(result.verdict for result in self.results)
        lines += [
            "",
            ", ".join(f"{count[verdict]} {verdict}" for verdict in Verdict),
            _VERDICTS[self.status] + (": " + ", ".join(self.defects) if self.defects else ""),
        ]
        return "\n".join(lines) + "\n"


_VERDICTS = {0: "CONFORMS", 1: "DOES NOT CONFORM", 2: "NOT DECIDED (not everything could be checked)"}
