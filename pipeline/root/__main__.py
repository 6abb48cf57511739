"""`python -m camoe` is `camoe`."""

from .cli import main

main()
