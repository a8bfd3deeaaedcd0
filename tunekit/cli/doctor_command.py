"""The command that looks at the machine: doctor. Its docstring is its help page."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tunekit.cli.arguments import Address, RunRoot
from tunekit.cli.exits import DONE, UNFINISHED
from tunekit.cli.next_command import USUAL_ROOT


def doctor(
    root: RunRoot = USUAL_ROOT,
    address: Address = None,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print the findings as JSON, for another program.")
    ] = False,
) -> int:
    """Look whether this machine, or a cluster, is fit for a sweep.

    Looks at Python and its libraries, torch and its devices, Ray and its token, memory, disk, the folder of the sweeps,
    the hub and the caches. With --address, at each node of the cluster too. Each line is [bold]ok[/], a
    [bold]warning[/] or [bold]wrong[/], with what was found and what cures it. Nothing is changed. The exit code is 1
    if something is wrong.

      tunekit doctor
      tunekit doctor --address auto --root /shared/runs
    """
    from tunekit.cli.console import console, waiting
    from tunekit.doctor import Patient, examine, render

    patient = Patient(root=str(root), address=None if address == "local" else address)
    page = console()
    if as_json:
        found = examine(patient)
        rows = [{"part": title, **asdict(one)} for title, findings in found.items() for one in findings]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        with waiting(page, "looking at everything that a sweep needs ..."):
            found = examine(patient)
        page.print(render(found))
    is_wrong = any(one.level == "wrong" for findings in found.values() for one in findings)
    return UNFINISHED if is_wrong else DONE
