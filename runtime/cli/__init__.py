"""`limner ROLE|COMMAND`, as it is started."""


def main() -> None:
    """The command line of this process."""
    # A process of anyio's imports what started its parent, and needs none of the commands: they are half of its memory.
    from limner.runtime.cli.commands import main

    main(prog_name="limner")
