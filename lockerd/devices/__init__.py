"""Drivers: the only room that speaks to hardware."""
