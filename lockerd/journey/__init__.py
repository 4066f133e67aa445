"""A journey at the machine, carried from event to effect, and what brings the machine to rest after a fault; `pickup` decides."""
