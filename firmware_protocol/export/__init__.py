"""What the declarations are exported to: a C header, a register reference, and test vectors; each a pure function."""

from __future__ import annotations

from collections.abc import Mapping

from firmware_protocol.export.c_header import c_header
from firmware_protocol.export.reference import reference
from firmware_protocol.export.vectors import vectors


def exports() -> Mapping[str, str]:
    """File name -> text of everything that is exported; the same on every call and every machine."""
    return {"lk_protocol.h": c_header(), "reference.md": reference(), "vectors.json": vectors()}
