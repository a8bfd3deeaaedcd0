"""A batch script for Slurm: Ray on every node of the job, the sweep on the first, by ``ray symmetric-run``.

Slurm ends jobs: at their time limit, for a job that matters more, or because a node died. The sweep goes on by itself
in each case. Some minutes before the time limit Slurm sends SIGUSR1 to the script, which hands SIGTERM on to the
driver, waits until it has left, and puts the job back into the queue; in the other cases Slurm does that by itself
(``--requeue``). A job that a person ends by `scancel` stays ended.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tunekit.cluster.render.sizing import GIB, OBJECT_STORE_BYTES, Asked, Machines, machines_for
from tunekit.cluster.render.words import RAY_VERSION, comment, listing, sweep_words
from tunekit.errors import require
from tunekit.sweep import Sweep
from tunekit.version import __version__
from tunekit.wording import plural

USUAL_TIME = "8:00:00"
"""Limit of one attempt, where nobody says."""
START_S = 300
"""How long the nodes of a job may take to start Ray, one after the other on a slow file system."""
_TIME = re.compile(r"(\d+-)?\d+(:\d{1,2}){0,2}")
_WORD = re.compile(r"[\w.,@%/+-]+")

SCRIPT = r"""
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?this script is for sbatch}"   # relative paths of the sweep file start here
@SETUP@

# Every process of this Ray asks for the token, and nobody else can read it. The home folder is the same on all nodes.
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}"
if [ ! -s "$RAY_AUTH_TOKEN_PATH" ]; then
  (umask 077 && mkdir -p "$(dirname "$RAY_AUTH_TOKEN_PATH")" &&
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$RAY_AUTH_TOKEN_PATH")
fi

# The head is the first node, which also runs this script. Ray wants its address in the cluster's network: if the node
# has several, set TUNEKIT_HEAD_IP to the right one.
head_ip="${TUNEKIT_HEAD_IP:-$(getent ahostsv4 "$(hostname)" | awk '$1 !~ /^127\./ {print $1; exit}')}"
head_ip="${head_ip:-$(hostname -I | awk '{print $1}')}"
address="$head_ip:$((20000 + SLURM_JOB_ID % 10000))"
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=@START_S@

run=(@RUN@ --address "$address")
note="$(mktemp -d)/driver"   # the driver's process id; it runs on this node
# shellcheck disable=SC2016  # for the shell in which the driver starts
started='echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@"'
again=no

# One task a node. A node that is lost ends neither the others nor the sweep.
srun --nodes=@NODES@ --ntasks-per-node=1 --cpus-per-task=@CPUS@ --kill-on-bad-exit=0 --wait=0 \
  ray symmetric-run --address "$address" --min-nodes @NODES@ \
  --num-cpus=@CPUS@ --num-gpus=@GPUS@ --object-store-memory=@STORE@ \
  -- bash -c "$started" "$note" "${run[@]}" &
job=$!

# shellcheck disable=SC2329  # called by the traps
leave() {   # the driver writes what it has and leaves; before it has started, there is nothing to write
  kill -TERM "$(cat "$note" 2>/dev/null || echo "$job")" 2>/dev/null || true
}
trap 'again=yes; leave' USR1
trap leave TERM INT

code=0
while kill -0 "$job" 2>/dev/null; do wait "$job" || true; done   # a signal interrupts `wait`
wait "$job" || code=$?
if [ ! -e "$note" ] && [ "$code" -eq 0 ]; then   # symmetric-run says so, and ends as if all were well
  echo "Ray did not start, so neither did the sweep; the reason stands above." >&2
  code=1
fi
rm -rf "$(dirname "$note")"

if [ "$again" = yes ] && [ "$code" -ne 0 ]; then
  echo "The time is nearly over: back into the queue. The sweep goes on from its journal."
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


@dataclass(frozen=True, kw_only=True)
class BatchJob:
    """What the options say of the job."""

    root: str = "runs"
    """Of the sweeps: a folder that all nodes share, or a bucket."""
    time: str | None = None
    """Limit of one attempt, as Slurm writes it: ``8:00:00``, ``1-12:00:00``."""
    partition: str | None = None
    account: str | None = None
    warning_s: int = 180
    """How long before the time limit the sweep is told to leave."""
    setup: tuple[str, ...] = ()
    """Lines of shell that make `tunekit` and `ray` known on a node."""
    shares_nodes: bool = False
    """Other jobs may run on the nodes."""

    def __post_init__(self) -> None:
        require(
            self.time is None or bool(_TIME.fullmatch(self.time)), "--time", self.time, "such as 8:00:00 or 1-12:00:00"
        )
        require(1 <= self.warning_s <= 65535, "--warning", self.warning_s, "from 1 to 65535 seconds")
        for option, word in (("partition", self.partition), ("account", self.account)):
            require(word is None or bool(_WORD.fullmatch(word)), f"--{option}", word, "one word, as `sinfo` shows it")
        require(
            not any("\n" in line for line in self.setup), "--setup", self.setup, "one line of shell; repeat the option"
        )


def render_slurm(file: Path, sweep: Sweep, asked: Asked, job: BatchJob, *, overrides: Sequence[str] = ()) -> str:
    """The batch script that runs `sweep`.

    Args:
        file: the sweep file, as the nodes find it from the folder in which `sbatch` is called.
        sweep: what was read from it.
        asked: how many trials at once, on what nodes.
        job: what the script says to Slurm.
        overrides: ``KEY=VALUE`` that `sweep` was read with.

    Raises:
        ConfigError: no trial fits on such a node.
    """
    machines = machines_for(sweep, asked)
    words = sweep_words(str(file), sweep, job.root, machines.workers)
    for override in overrides:
        words += ["--set", override]
    filled = {
        "SETUP": "\n".join(_setup(job)),
        "START_S": START_S,
        "RUN": shlex.join(words),
        "NODES": machines.count,
        "CPUS": machines.cpus,
        "GPUS": machines.gpus,
        "STORE": OBJECT_STORE_BYTES,
    }
    body = re.sub(r"@([A-Z_]+)@", lambda found: str(filled[found[1]]), SCRIPT)
    directives = [f"#SBATCH {option}" for option in _directives(sweep, machines, job)]
    return "\n".join(["#!/bin/bash", *directives, *_preface(sweep, machines, job)]) + body


def _directives(sweep: Sweep, machines: Machines, job: BatchJob) -> list[str]:
    name = re.sub(r"[^\w.-]", "-", sweep.name, flags=re.ASCII)
    options = [
        f"--job-name=tunekit-{name}",
        f"--output=tunekit-{name}-%j.out",
        "--open-mode=append",
        f"--nodes={machines.count}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={machines.cpus}",
        f"--time={job.time or USUAL_TIME}",
        f"--signal=B:USR1@{job.warning_s}",
        "--requeue",
    ]
    if machines.gpus:
        options.append(f"--gpus-per-node={machines.gpus}")
    # A memory of 0 is all that the node has.
    options += [f"--mem={machines.memory_bytes // GIB}G"] if job.shares_nodes else ["--exclusive", "--mem=0"]
    options += [f"--partition={job.partition}"] if job.partition else []
    options += [f"--account={job.account}"] if job.account else []
    return options


def _setup(job: BatchJob) -> list[str]:
    if job.setup:
        return list(job.setup)
    here = shlex.quote(os.path.dirname(sys.executable))
    return [f'export PATH={here}:"$PATH"   # the Python that wrote this script']


def _preface(sweep: Sweep, machines: Machines, job: BatchJob) -> list[str]:
    name = sweep.name
    alone = (
        "No other job is let onto the nodes: Ray takes one for itself, and `ray stop` ends every Ray of its user there."
    )
    guesses = [
        *(guess for guess in machines.guesses if job.shares_nodes or "memory" not in guess),
        *(
            []
            if job.time
            else [f"{USUAL_TIME} for one attempt (--time); a sweep that needs longer goes on in the next"]
        ),
        *([] if job.setup else ["the same Python on every node as where this was written (--setup)"]),
        *([] if job.partition else ["the usual partition (--partition)"]),
    ]
    nodes, size = plural(machines.count, "node"), f"{machines.cpus} CPU and {machines.gpus} GPU"
    return [
        comment(),
        comment(
            f"The sweep {name!r} on Slurm, by tunekit {__version__}, with Ray {RAY_VERSION} on every node of the job."
        ),
        comment(),
        "#   sbatch FILE      # from the folder where its relative paths start",
        "#   squeue --me      # how it is; what it says is in the file of --output",
        "#   scancel JOBID    # stop it; sbatch again goes on from the journal",
        comment(),
        comment("It queues again by itself at its time limit, when another job takes its place, or when a node dies."),
        *([comment(alone)] if not job.shares_nodes else []),
        *listing("Computed:", [f"{nodes} with {size} each, and {plural(machines.workers, 'trial')} at once on all"]),
        *listing("Guessed, because nobody said (give the option in brackets):", guesses),
    ]
