"""Help pages whose paragraphs flow to the terminal's width, whatever the lines of the docstring."""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


def flowing(text: str) -> str:
    """`text` with each paragraph on one line, for the terminal to break; indented lines keep their breaks.

    All paragraphs but the first are marked to be as bright as the first, because typer dims them.

    >>> flowing("Do it.\\n\\nKill it at any\\nmoment.\\n\\n  tunekit one\\n  tunekit two")
    'Do it.\\n\\n[not dim]Kill it at any moment.[/]\\n\\n[not dim]  tunekit one\\n  tunekit two[/]'
    """
    first, *rest = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join([_joined(first), *(f"[not dim]{_joined(paragraph)}[/]" for paragraph in rest)])


def _joined(paragraph: str) -> str:
    return paragraph if paragraph.startswith(" ") else " ".join(paragraph.split())


class CommandPage(TyperCommand):
    """The help page of one command."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        """The option --help, without a word for its type."""
        return _without_type(super().get_help_option(ctx))


class FrontPage(TyperGroup):
    """The help page of the whole command line."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:
        """The option --help, without a word for its type."""
        return _without_type(super().get_help_option(ctx))

    def list_commands(self, ctx: object) -> list[str]:
        """Commands in the order in which a person needs them, not in alphabetical order."""
        return list(self.commands)


def _without_type(option: TyperOption | None) -> TyperOption | None:
    if option is not None:
        option.metavar = ""
    return option
