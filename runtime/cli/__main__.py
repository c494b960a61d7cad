"""`python -m limner.runtime.cli`."""

from limner.runtime.cli import main

if __name__ == "__main__":  # worker processes of anyio import it, too
    main()
