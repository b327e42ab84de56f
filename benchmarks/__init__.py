"""Benchmarks: one command each, their numbers from the same run as those of the peers."""
