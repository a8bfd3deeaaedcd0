"""The command line. Heavy imports stand inside the commands that need them."""

import sys

try:
    from tunekit.cli.app import app, main
except KeyboardInterrupt:  # Ctrl-C before there is anybody to answer it
    sys.stderr.write("error: interrupted\n")
    sys.exit(1)

__all__ = ["app", "main"]
