"""Everything that touches Label Studio."""
