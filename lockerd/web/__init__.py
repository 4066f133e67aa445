"""What people see of the machine: the citizen's screen, the staff console and the health answers."""
