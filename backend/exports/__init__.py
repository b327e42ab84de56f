"""Data sets to take away, handed on block by block, so that their size does not matter."""
