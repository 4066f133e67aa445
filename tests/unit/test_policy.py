"""The combination policy: what a table may say, and that the journey asks for what its row says."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import msgspec
import pytest

from lockerd.config import load_config
from lockerd.errors import ConfigError
from lockerd.model.cards import HANDED_IN, ClaimKind
from lockerd.model.policy import (
    AuthorisedRows,
    Combination,
    Evidence,
    GuardianRows,
    OwnerRows,
    Policy,
    Relation,
    unsafe,
)
from sim.harness import Setting, configuration, free_addresses, toml_text

E = Evidence
ROWS = {Relation.OWNER: OwnerRows, Relation.GUARDIAN: GuardianRows, Relation.AUTHORISED: AuthorisedRows}


def table(relation: Relation, kind: ClaimKind, *row: Combination) -> Policy:
    return Policy(**{relation.value: ROWS[relation](**{kind.value: row})})  # type: ignore[arg-type]


def test_the_default_is_code_id_and_face_and_safe() -> None:
    policy = Policy()
    assert list(unsafe(policy)) == []
    for relation in Relation:
        for kind in ClaimKind:
            first = policy.opens(relation, kind)[0]
            old = (E.OLD_CARD,) if kind in HANDED_IN else ()
            assert first == (E.CODE, E.ID_CARD, E.FACE, *old)
    assert not policy.names(E.REMOTE_REVIEW)
    assert not policy.names(E.FINGERPRINT)


@pytest.mark.parametrize(
    ("relation", "kind", "combination", "reason"),
    [
        (Relation.OWNER, ClaimKind.REPLACEMENT, (), "nothing does not say"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.FACE,), "face does not say whose"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.CODE,), "code does not say whose"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.CODE, E.FACE), "never searched for"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.NUMBER,), "no secret"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.NUMBER, E.FACE), "no secret"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.CODE, E.NUMBER), "nobody looks"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.CODE, E.ID_CARD), "nobody looks"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.CODE, E.ID_CARD, E.FINGERPRINT), "nobody looks"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.ID_CARD, E.NUMBER, E.FACE), "wants the number twice"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.ID_CARD, E.FACE, E.FACE), "one thing twice"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.ID_CARD, E.FACE, E.OLD_CARD), "a card that is lost"),
        (Relation.OWNER, ClaimKind.RENEWAL, (E.CODE, E.ID_CARD, E.FACE), "leaves the old card"),
        (Relation.OWNER, ClaimKind.DAMAGED, (E.CODE, E.ID_CARD, E.FACE), "leaves the old card"),
        (Relation.OWNER, ClaimKind.REPLACEMENT, (E.CODE, E.NUMBER, E.FACE, E.FINGERPRINT), "no fingerprint to compare"),
        (Relation.GUARDIAN, ClaimKind.REPLACEMENT, (E.ID_CARD, E.FACE), "was sent"),
        (Relation.AUTHORISED, ClaimKind.REPLACEMENT, (E.CODE, E.NUMBER, E.FACE), "was sent"),
    ],
)
def test_an_unsafe_combination_is_refused_with_its_reason(
    relation: Relation, kind: ClaimKind, combination: Combination, reason: str
) -> None:
    safe = Policy().opens(relation, kind)[0]
    found = list(unsafe(table(relation, kind, safe, combination)))
    assert [one.key for one in found] == [f"policy.{relation}.{kind}[1]"]
    assert reason in found[0].reason
    assert found[0].remedy


def test_whatever_is_safe_says_who_it_is_and_has_somebody_look() -> None:
    for size in range(len(Evidence) + 1):
        for combination in combinations(Evidence, size):
            for relation in Relation:
                for kind in ClaimKind:
                    if not list(unsafe(table(relation, kind, combination))):
                        has = set(combination)
                        assert has & {E.FACE, E.REMOTE_REVIEW}
                        assert E.ID_CARD in has or {E.CODE, E.NUMBER} <= has
                        assert (E.OLD_CARD in has) == (kind in HANDED_IN)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"renewal": [["face"]]}, "key 'policy.owner.renewal[0]': face does not say whose card is wanted"),
        ({"replacement": [["code", "id_card", "face"], ["code", "number"]]}, "key 'policy.owner.replacement[1]'"),
        ({"replacement": [["code", "id_card", "smile"]]}, "key 'policy.owner.replacement[0][2]': Invalid enum value"),
    ],
)
def test_a_start_with_an_unsafe_table_is_refused_by_its_key(
    tmp_path: Path, rows: dict[str, list[list[str]]], words: str
) -> None:
    file = tmp_path / "lockerd.toml"
    setting = Setting(tmp_path, free_addresses(), also={"policy.owner": rows})
    file.write_text(toml_text(configuration(setting)), "utf-8")
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    assert words in str(refused.value)


def test_a_fingerprint_wants_a_sensor(tmp_path: Path) -> None:
    file = tmp_path / "lockerd.toml"
    rows = {"replacement": [["code", "id_card", "face", "fingerprint"]]}
    setting = Setting(tmp_path, free_addresses(), also={"policy.owner": rows}, fingerprint=True)
    file.write_text(toml_text(configuration(setting)), "utf-8")
    assert load_config(file).policy.names(E.FINGERPRINT)
    file.write_text(toml_text(configuration(replace(setting, fingerprint=False))), "utf-8")
    with pytest.raises(ConfigError, match="key 'fingerprint': the policy asks for one"):
        load_config(file)


def test_a_row_may_be_empty_and_then_the_counter_hands_out() -> None:
    policy = msgspec.structs.replace(Policy(), authorised=AuthorisedRows(renewal=(), replacement=(), damaged=()))
    assert list(unsafe(policy)) == []
    assert policy.opens(Relation.AUTHORISED, ClaimKind.RENEWAL) == ()


def test_what_nobody_can_collect_without() -> None:
    fingered = ((E.CODE, E.ID_CARD, E.FACE, E.FINGERPRINT),)
    assert not Policy().some_need(E.FINGERPRINT)
    some = table(Relation.OWNER, ClaimKind.REPLACEMENT, *fingered)
    assert (some.some_need(E.FINGERPRINT), some.all_need(E.FINGERPRINT)) == (True, False)
    another_way = table(Relation.OWNER, ClaimKind.REPLACEMENT, *fingered, (E.CODE, E.ID_CARD, E.FACE))
    assert not another_way.some_need(E.FINGERPRINT)
    closed = {kind.value: () for kind in ClaimKind}  # the counter only: a row that nobody misses the finger for
    every = Policy(
        owner=OwnerRows(**{**closed, "replacement": fingered}),
        guardian=GuardianRows(**closed),
        authorised=AuthorisedRows(**closed),
    )
    assert every.all_need(E.FINGERPRINT)
