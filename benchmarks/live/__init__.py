"""Load on the running service: `python -m benchmarks.live`."""
