"""How a sweep is done again: commands, seeds, the sweep file."""

from __future__ import annotations

import yaml

from tunekit.reports.results import SweepResult
from tunekit.reports.tables import Listing
from tunekit.sweep.types import Sweep
from tunekit.wording import names, plural


def reproduction(result: SweepResult) -> tuple[str | Listing, ...]:
    """A list of what to do and to know, and the sweep file."""
    record, sweep = result.record, result.sweep
    interruptions = sum(trial.num_interruptions for trial in record.trials.values())
    draws = dict.fromkeys((*sweep.draws, *sweep.final_draws))
    resumed = plural(max(0, record.num_launches - 1), "time")
    file = f"{sweep.name}.yaml"
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items()) or "not recorded"
    lines = [
        f"- The sweep: save the block below as `{file}`, then `tunekit sweep {file}`.",
        "- The best trial of an arm: `tunekit trial best_config.<arm>.yaml`.",
        f"- This report: `tunekit report {sweep.name}`.",
        *_where_published_figures_are(sweep),
        f"- Seeds: search {names(sweep.seeds)}; final {names(sweep.finalise.seeds)}; searcher {sweep.search.seed}.",
        *([f"- Draws of the data: {names(draws)}."] if draws else []),
        f"- Versions (of the last launch): {versions}.",
        f"- Resumed {resumed}; {plural(interruptions, 'trial interruption')}"
        " (an interrupted trial goes on after its last whole epoch).",
    ]
    return "\n".join(lines), Listing(text=_definition_yaml(result), language="yaml")


def _where_published_figures_are(sweep: Sweep) -> list[str]:
    if not sweep.references:
        return []
    return ["- The published figures: `references.csv`, which the key `references` of a sweep file may name."]


def _definition_yaml(result: SweepResult) -> str:
    content = dict(result.sweep.definition)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
