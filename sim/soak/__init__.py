"""The simulated year: the real daemon in memory and in virtual time, a town that uses it, faults, and a checker."""
