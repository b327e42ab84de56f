"""Everything that speaks HTTP to the outside."""
