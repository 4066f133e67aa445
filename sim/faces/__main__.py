"""`python -m sim.faces`: draw people, train the synthetic pack, calibrate it, measure it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from sim.faces.attacks import write_samples
from sim.faces.measure import PACK, calibrate, calibrate_chip, contact_sheet, evaluate

VERSION = "1"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; exit status 0 where it did what it says."""
    parser = argparse.ArgumentParser(prog="python -m sim.faces", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    sheet = commands.add_parser("sheet", help="write a picture of some people")
    sheet.add_argument("file", type=Path)
    sheet.add_argument("--first", type=int, default=0, help="seed of the first person")
    attacks = commands.add_parser("attacks", help="write presentations: people, prints and replays of drawn faces")
    attacks.add_argument("folder", type=Path)
    attacks.add_argument("--people", type=int, default=20)
    trainer = commands.add_parser("train", help='train all three models and calibrate (needs the extra "train")')
    trainer.add_argument("--seed", type=int, default=1)
    trainer.add_argument("--detector-steps", type=int, default=1500)
    trainer.add_argument("--embedder-steps", type=int, default=2500)
    trainer.add_argument("--people", type=int, default=3000)
    trainer.add_argument("--liveness-samples", type=int, default=4400)
    trainer.add_argument("--liveness-steps", type=int, default=1200)
    for name, help_ in (
        ("calibrate", "set the threshold for application photos again"),
        ("calibrate-chip", "set the threshold for chip-like photos again"),
        ("evaluate", "measure on unseen people"),
    ):
        commands.add_parser(name, help=help_).add_argument("--people", type=int, help="fewer people, quicker")
    for command in ("train", "calibrate", "calibrate-chip", "evaluate"):
        commands.choices[command].add_argument("--out", type=Path, default=PACK, help="folder of the pack")
    options = parser.parse_args(arguments)
    match options.command:
        case "sheet":
            contact_sheet(options.file, options.first)
        case "attacks":
            write_samples(options.folder, options.people)
        case "train":
            from sim.faces.train import train
            from sim.faces.train_liveness import train_liveness

            began = time.monotonic()
            train(
                options.out,
                options.seed,
                detector_steps=options.detector_steps,
                embedder_steps=options.embedder_steps,
                people=options.people,
            )
            train_liveness(options.out, options.seed, samples=options.liveness_samples, steps=options.liveness_steps)
            print(f"trained in {time.monotonic() - began:.0f} s")
            print(json.dumps(calibrate(options.out, VERSION), indent=2))
            print(json.dumps(calibrate_chip(options.out), indent=2))
        case "calibrate":
            print(json.dumps(calibrate(options.out, VERSION, people=options.people), indent=2))
        case "calibrate-chip":
            print(json.dumps(calibrate_chip(options.out, people=options.people), indent=2))
        case "evaluate":
            print(json.dumps(evaluate(options.out, options.people), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
