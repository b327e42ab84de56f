"""Tests of the whole path on a real Label Studio, a real Redis and a real browser."""
