"""Synthetic people for the simulator: faces drawn from a seed, and the model pack that knows them.

They are not pictures of anybody. `python -m sim.faces` draws, trains and evaluates.
"""

from sim.faces.attacks import draw_print
from sim.faces.person import Person
from sim.faces.scene import Nuisance, draw_frame, draw_portrait, draw_scene, encode

__all__ = ["Nuisance", "Person", "draw_frame", "draw_portrait", "draw_print", "draw_scene", "encode"]
