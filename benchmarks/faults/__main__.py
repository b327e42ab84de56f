"""Faults injected into the running service: the command."""

from benchmarks.faults.campaign import main

if __name__ == "__main__":
    main()
