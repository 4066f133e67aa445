"""Templates of the simulated office: named as lockerd names its models, and near to what lockerd makes of the same photo."""

from __future__ import annotations

import base64
import json

import numpy as np

from lockerd.face.pack import load_pack
from lockerd.face.pipeline import open_pipeline, stored_vector
from sim.faces import Person, draw_portrait, encode
from sim.office_templates import OTHER_MODEL, PACK, model_id, template

SEED = 10_000_123


def test_the_office_names_the_models_as_the_machine_does() -> None:
    assert model_id(json.loads((PACK / "manifest.json").read_text())) == load_pack(PACK, production=False).model_id


def test_a_template_of_the_office_is_that_of_its_photo() -> None:
    pack = load_pack(PACK, production=False)
    made = template(SEED)
    ours = stored_vector(base64.b64decode(made["vector"]))
    portrait = draw_portrait(Person.from_seed(SEED), np.random.default_rng(SEED))
    theirs = open_pipeline(pack).enrol(encode(portrait)).template
    assert theirs is not None
    assert ours is not None
    other = stored_vector(theirs.vector)
    assert other is not None
    assert float(ours @ other) > 0.9
    assert (made["model_id"], template(SEED, ours=False)["model_id"]) == (theirs.model_id, OTHER_MODEL)
