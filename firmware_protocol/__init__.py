"""What travels on the wires, declared once. Standard library only; no I/O; no clock."""
