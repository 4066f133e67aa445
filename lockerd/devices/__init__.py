"""Drivers of the machine's parts: each implements a port of `lockerd.ports` over its wire."""
