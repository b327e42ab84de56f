"""Faults injected into the running service: `python -m benchmarks.faults`."""
