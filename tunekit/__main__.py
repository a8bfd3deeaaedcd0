"""``python -m tunekit``: the command line, for machines where the ``tunekit`` script is not on the path."""

from __future__ import annotations

from tunekit.cli import main

main()
