"""`python -m limner.runtime.cli`."""

from limner.runtime.cli import main

main(prog_name="limner")
