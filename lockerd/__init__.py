"""lockerd: the controller daemon of a 24-hour self-service machine for resident ID cards."""
