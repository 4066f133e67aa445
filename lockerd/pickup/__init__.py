"""Collection, the first journey: deciding only, no I/O. The table in `table.py` is the journey."""
