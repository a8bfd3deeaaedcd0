"""The card of each arm's winner: what it is, how sure that is, and how to have it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tunekit.racing import Interval
from tunekit.reports.render.best_config import to_yaml
from tunekit.reports.render.formats import spread
from tunekit.reports.render.html.parts import Card
from tunekit.reports.results import ArmResult, SweepResult
from tunekit.reports.winner import Winner
from tunekit.reports.words import config_file, metric_name, searched
from tunekit.wording import percent, plural, share


def card(result: SweepResult, arm: ArmResult, winner: Winner | None) -> Card:
    """What is known of the arm's winner: the reported point, else the one that leads its search."""
    if arm.best is None and arm.leader is None:
        return Card(arm=arm.name, facts=(), verdict="No point of this arm is COMPLETE.", command="", file="", yaml="")
    file = config_file(arm.name)
    return Card(
        arm=arm.name,
        facts=tuple(_facts(arm, winner)),
        verdict="",
        command=f"tunekit trial {shlex.quote(file)}",
        file=file,
        yaml=to_yaml(result, arm),
    )


def _facts(arm: ArmResult, winner: Winner | None) -> Iterator[tuple[str, str]]:
    best, dev = arm.best, f"dev {metric_name(arm.metric)}"
    if best is not None:
        yield "point", str(best.number)
        yield "searched values", searched(best.params)
        yield f"{dev}, {plural(best.dev.n, 'final trial')}", spread(best.dev)
    elif arm.leader is not None:
        yield "point", f"{arm.leader.number} (not finalised)"
        yield "searched values", searched(arm.leader.params)
        yield f"{dev}, in the search", percent(arm.leader.value)
    if winner is not None and winner.corrected is not None:
        how = plural(winner.num_corrected, "new seed") if winner.correction == "new seeds" else "by a model"
        found = f"{share(winner.confidence)} confidence"
        yield f"dev, corrected for selection ({how}; {found})", _interval(winner.corrected)
    if best is not None:
        yield f"test in {arm.source}, the source", spread(best.score(arm.source, arm.metric))
        if arm.targets:
            yield "test, mean of the targets", spread(best.zero_shot(arm.targets, arm.metric))


def _interval(found: Interval) -> str:
    return f"{percent(found.mean)} [{percent(found.low)}, {percent(found.high)}]"
