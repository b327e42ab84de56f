"""Load on the running service: the command."""

from benchmarks.live.parts import main

if __name__ == "__main__":
    main()
