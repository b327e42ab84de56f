"""The work that changes what is known: pull, compute, write back."""
