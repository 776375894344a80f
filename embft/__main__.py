"""`python -m embft`: the command line, where no `embft` is on the path."""

from embft.cli.main import main

if __name__ == "__main__":
    main(prog_name="python -m embft")
