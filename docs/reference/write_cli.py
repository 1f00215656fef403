"""Writes cli.md, the help text of every command; tests/test_docs.py fails when it is stale.

python docs/reference/write_cli.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from yozora.cli import main

WIDTH = 96
INTRODUCTION = """\
# The command line

<!-- written by docs/reference/write_cli.py: change the help texts in src/yozora/cli*.py instead -->

Reports go to standard output, everything else to standard error. `--json` makes a report readable for
machines. The exit status is 0 when the command did what it was asked, 1 when it could not (with one line that
says what to do) and 2 when it was called wrongly.
"""


def helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """The full name and the help text of a command and of all below it."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.commands[name]
            if not child.hidden:
                yield from helps(child, click.Context(child, context, name))


def page() -> str:
    """The whole page."""
    top = click.Context(main, info_name="yozora", terminal_width=WIDTH, **main.context_settings)
    sections = (f"\n## {name}\n\n```text\n{text}\n```\n" for name, text in helps(main, top))
    return INTRODUCTION + "".join(sections)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(page(), encoding="utf-8")
