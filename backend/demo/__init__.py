"""A demonstration on a real Label Studio, with simulated annotators of known skill."""
