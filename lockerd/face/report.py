"""Reports to read and files to keep of what was measured (ISO/IEC 19795-1, ISO/IEC 30107-3)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lockerd.face.attack import AttackReport, Share
from lockerd.face.det import det_curve, det_png, det_svg
from lockerd.face.evaluate import Report, Scores


def as_text(report: Report) -> str:
    """The report of an evaluation, in lines for a person."""
    lines = [
        f"Technology evaluation after ISO/IEC 19795-1 of {report.pack}",
        f"reference: {report.reference}, pictures fused: {report.fuse}",
        f"people {report.people}, pictures {report.pictures}, "
        f"genuine comparisons {report.genuine}, impostor comparisons {report.impostor}",
        f"failure to enrol {_percent(report.failure_to_enrol)}, failure to acquire {_percent(report.failure_to_acquire)}",
        "refused by gate: " + (", ".join(f"{name} {n}" for name, n in report.rejections.items()) or "none"),
        "",
        "FMR    threshold  FNMR      95 % interval",
    ]
    for name, rate in report.fnmr_at_fmr.items():
        span = f"{_percent(rate.low)} to {_percent(rate.high)}"
        lines.append(f"{name:6} {rate.threshold:9.4f}  {_percent(rate.fnmr):8}  {span}")
    lines += [
        "",
        "milliseconds a picture, one thread: " + ", ".join(f"{k} {v:g}" for k, v in report.milliseconds.items()),
    ]
    return "\n".join(lines) + "\n"


def attack_as_text(report: AttackReport) -> str:
    """The report of presentation attack detection, in lines for a person."""
    lines = [f"Presentation attack detection after ISO/IEC 30107-3 of {report.pack}, limits {report.limits}"]
    lines += [f"APCER {species}: {_share(share)}" for species, share in report.apcer.items()]
    if report.bpcer is not None:
        lines.append(f"BPCER: {_share(report.bpcer)}")
    lines += [f"  {file}: {'refused' if score is None else score}" for file, score in report.classified.items()]
    return "\n".join(lines) + "\n"


def write_report(folder: Path, report: Report, scores: Scores) -> None:
    """Write report.txt, report.json, det.svg and det.png."""
    folder.mkdir(parents=True, exist_ok=True)
    curve = det_curve(scores.genuine, scores.impostor)
    title = f"{report.pack}, {report.reference}, {report.fuse} fused"
    (folder / "report.txt").write_text(as_text(report))
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    (folder / "det.svg").write_text(det_svg(curve, title))
    (folder / "det.png").write_bytes(det_png(curve, title))


def _share(share: Share) -> str:
    return (
        f"{_percent(share.rate)} ({_percent(share.low)} to {_percent(share.high)}) "
        f"of {share.presentations - share.no_response}, no response {share.no_response}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
