"""The command line. Heavy imports stand inside the commands that need them."""

from tunekit.cli.app import app, main

__all__ = ["app", "main"]
