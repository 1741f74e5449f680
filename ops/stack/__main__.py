"""`python -m ops.stack [--once] [--desk FILE]`: what `make run` starts."""

from ops.cli import up

if __name__ == "__main__":
    up(prog_name="make run")
