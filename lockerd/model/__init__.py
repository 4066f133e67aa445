"""Values that every room shares: frozen, typed, without I/O."""
