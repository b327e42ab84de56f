"""`python -m backend` is the `crowdlab` command."""

from backend.cli import main

main()
