"""Which drawn people are for what, so that nobody is trained on and measured with.

Each is a half-open range of `Person` seeds.
"""

TRAINED = (1_000_000, 1_050_000)
CALIBRATED = (2_000_000, 2_000_400)
EVALUATED = (3_000_000, 3_000_400)
GOLDEN = 4_000_000
