"""What a classifier can learn from: numbers made of a task's contents.

Every extractor works on one task alone, so that features are computed once per content
and kept.
"""
