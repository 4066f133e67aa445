"""Which evidence opens which card: the combination policy, a typed table of the configuration, and what makes a table unsafe.

Rows are by who collects and why the card was made; a row lists combinations, and any one of them, shown whole, opens.
Sources: NIST SP 800-63B-4, 3.2.3 (a biometric only together with something held or known, never as the only way);
PRC resident identity card law, art. 11 (the old card is handed back when the new one is collected).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from lockerd.model.cards import HANDED_IN, ClaimKind


class Evidence(StrEnum):
    """One thing that somebody shows to collect a card."""

    CODE = "code"  # the pickup code
    ID_CARD = "id_card"  # one's own, its chip read on the counter reader
    NUMBER = "number"  # one's own ID number, typed
    FACE = "face"  # compared by the machine
    REMOTE_REVIEW = "remote_review"  # a picture compared by a reviewer at the office, with consent
    FINGERPRINT = "fingerprint"  # compared with the chip of the ID card that was shown
    OLD_CARD = "old_card"  # the new card's predecessor, handed in


class Relation(StrEnum):
    """What whoever collects is to the card's owner."""

    OWNER = "owner"
    GUARDIAN = "guardian"
    AUTHORISED = "authorised"


@dataclass(frozen=True, slots=True)
class Collector:
    """Who collects a claim's card. `collector_id` names whom the office named beside the owner; empty for the owner."""

    relation: Relation = Relation.OWNER
    collector_id: str = ""


THE_OWNER = Collector()

Combination: TypeAlias = tuple[Evidence, ...]
Combinations: TypeAlias = tuple[Combination, ...]

_E = Evidence
_STRICT: Combinations = ((_E.CODE, _E.ID_CARD, _E.FACE),)
_OWN: Combinations = (*_STRICT, (_E.CODE, _E.NUMBER, _E.FACE), (_E.ID_CARD, _E.FACE))


def _and_old_card(combinations: Combinations) -> Combinations:
    return tuple((*combination, _E.OLD_CARD) for combination in combinations)


_RENEWAL = Meta(
    description="What opens a card that replaces one about to end: `code`, `id_card` (one's own, on the reader), `number`"
    " (typed), `face`, `remote_review` (by a reviewer at the office, with consent), `fingerprint`, `old_card` (handed in)."
    " The first that can be shown is asked for. An empty list: the counter only."
)
_REPLACEMENT = Meta(description="What opens a card that replaces a lost one.")
_DAMAGED = Meta(description="What opens a card that replaces a damaged one.")


class OwnerRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What opens one's own card: by its kind a list of combinations of evidence, any one of which opens."""

    renewal: Annotated[Combinations, _RENEWAL] = _and_old_card(_OWN)
    replacement: Annotated[Combinations, _REPLACEMENT] = _OWN
    damaged: Annotated[Combinations, _DAMAGED] = _and_old_card(_OWN)


class GuardianRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What opens a minor's card for a guardian whom the office named: the evidence is the guardian's, the old card the minor's."""

    renewal: Annotated[Combinations, _RENEWAL] = _and_old_card(_STRICT)
    replacement: Annotated[Combinations, _REPLACEMENT] = _STRICT
    damaged: Annotated[Combinations, _DAMAGED] = _and_old_card(_STRICT)


class AuthorisedRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What opens a card for somebody else whom its owner authorised and the office named."""

    renewal: Annotated[Combinations, _RENEWAL] = _and_old_card(_STRICT)
    replacement: Annotated[Combinations, _REPLACEMENT] = _STRICT
    damaged: Annotated[Combinations, _DAMAGED] = _and_old_card(_STRICT)


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has to show what; the default is code, ID and face."""

    owner: OwnerRows = OwnerRows()
    guardian: GuardianRows = GuardianRows()
    authorised: AuthorisedRows = AuthorisedRows()

    def opens(self, relation: Relation, kind: ClaimKind) -> Combinations:
        """The combinations of one row."""
        match relation:
            case Relation.OWNER:
                rows: OwnerRows | GuardianRows | AuthorisedRows = self.owner
            case Relation.GUARDIAN:
                rows = self.guardian
            case Relation.AUTHORISED:
                rows = self.authorised
        match kind:
            case ClaimKind.RENEWAL:
                return rows.renewal
            case ClaimKind.REPLACEMENT:
                return rows.replacement
            case ClaimKind.DAMAGED:
                return rows.damaged

    def names(self, evidence: Evidence) -> bool:
        """Whether any row asks for this evidence."""
        return any(evidence in combination for _, _, combination in self._combinations())

    def some_need(self, evidence: Evidence) -> bool:
        """Whether there are cards that open only with this evidence."""
        return any(self._each_row_needs(evidence))

    def all_need(self, evidence: Evidence) -> bool:
        """Whether no card opens without this evidence."""
        return all(self._each_row_needs(evidence))

    def _each_row_needs(self, evidence: Evidence) -> Iterator[bool]:
        rows = (self.opens(relation, kind) for relation in Relation for kind in ClaimKind)
        return (all(evidence in combination for combination in row) for row in rows if row)

    @property
    def without_code(self) -> bool:
        """Whether anything opens without the pickup code."""
        return any(Evidence.CODE not in combination for _, _, combination in self._combinations())

    def _combinations(self) -> Iterator[tuple[Relation, ClaimKind, Combination]]:
        for relation in Relation:
            for kind in ClaimKind:
                for combination in self.opens(relation, kind):
                    yield relation, kind, combination


@dataclass(frozen=True, slots=True)
class Unsafe:
    """A combination that may not stand in a table: its key in the configuration, why, and what to do."""

    key: str
    reason: str
    remedy: str


def unsafe(policy: Policy) -> Iterator[Unsafe]:
    """Every unsafe combination of a table, in the table's order; none of them may open a card. Pure."""
    for relation in Relation:
        for kind in ClaimKind:
            for number, combination in enumerate(policy.opens(relation, kind)):
                found = _wrong(relation, kind, combination)
                if found is not None:
                    yield Unsafe(f"policy.{relation}.{kind}[{number}]", *found)


def _wrong(relation: Relation, kind: ClaimKind, combination: Combination) -> tuple[str, str] | None:
    """Why one combination is unsafe and what to do, None where it is safe."""
    has = frozenset(combination)
    shown = "+".join(combination) or "nothing"
    if len(has) != len(combination):
        return f"{shown} names one thing twice", "name each once"
    if {_E.ID_CARD, _E.NUMBER} <= has:
        return f"{shown} wants the number twice: the ID card carries it", "remove 'number' or 'id_card'"
    if not has & {_E.ID_CARD, _E.NUMBER}:
        return f"{shown} does not say whose card is wanted: a face or a code is never searched for", "add 'id_card'"
    if _E.NUMBER in has and _E.CODE not in has:
        return f"{shown} rests on a number that is no secret", "add 'code', or 'id_card' in place of 'number'"
    if not has & {_E.FACE, _E.REMOTE_REVIEW}:
        return f"{shown} can be carried by anybody: nobody looks who it is", "add 'face' or 'remote_review'"
    if relation is not Relation.OWNER and not {_E.CODE, _E.ID_CARD} <= has:
        return f"{shown} does not show that whoever collects for another was sent", "add 'code' and 'id_card'"
    if _E.FINGERPRINT in has and _E.ID_CARD not in has:
        return f"{shown} has no fingerprint to compare with: it is on the ID card's chip", "add 'id_card'"
    if kind in HANDED_IN and _E.OLD_CARD not in has:
        return f"{shown} leaves the old card with its owner", "add 'old_card'"
    if kind not in HANDED_IN and _E.OLD_CARD in has:
        return f"{shown} wants a card that is lost", "remove 'old_card'"
    return None
