"""How commands end: exit codes, and errors in words."""

from __future__ import annotations

import typer

from tunekit.errors import ConfigError, TunekitError
from tunekit.redaction import without_secrets
from tunekit.wording import visible

DONE, UNFINISHED, BAD_INPUT = 0, 1, 2
"""Exit codes."""


def complain(message: str) -> None:
    """Tell the user what went wrong, on standard error."""
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(visible(without_secrets(message)), err=True)


def explain(error: Exception) -> int:
    """Tell the user what is wrong and give the exit code; an error that is a bug of tunekit is raised again."""
    if isinstance(error, TunekitError):
        complain(str(error))
        return BAD_INPUT if isinstance(error, ConfigError) else UNFINISHED
    if hasattr(error, "format_message"):  # typer's errors: a wrong word on the command line
        context = getattr(error, "ctx", None)
        complain(error.format_message() + (f"\nSee: {context.command_path} --help" if context else ""))
        return BAD_INPUT
    if isinstance(error, OSError) and error.filename is not None:
        complain(f"{error.filename}: {error.strerror or error}")
        return UNFINISHED
    raise error
