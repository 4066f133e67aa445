"""The physical world around lockerd, simulated: machine, people, office. Knows nothing of lockerd's code."""
