"""Ray: its token, and the cluster at an address with all of its nodes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tunekit import storage
from tunekit.doctor.findings import Finding, Patient, ok, warning, wrong
from tunekit.doctor.libraries import installed_version
from tunekit.doctor.machine import LITTLE_DISK
from tunekit.doctor.root import scratch
from tunekit.errors import ConfigError, StorageError
from tunekit.redaction import without_secrets
from tunekit.storage import AnyPath, absolute, place
from tunekit.wording import in_bytes, one_line, plural

if TYPE_CHECKING:
    from tunekit.execution.ray_look import NodeReport

NODES_S = 60.0
"""How long all nodes together may take."""
CLOCK_S = 5.0
"""Clocks that differ by more make the times in a journal hard to read, and cloud storage refuses requests at 15 min."""
START = "start it there (`ray start --head`), or look at the address, the firewall and that this machine is a node"
SAME_TOKEN = (
    "copy the token of the cluster's head (`ray get-auth-token` there) to ~/.ray/auth_token, mode 600, and set "
    "RAY_AUTH_MODE=token"
)


def cluster(patient: Patient) -> Iterator[Finding]:
    """Ray's token on this machine; then the cluster, if one is named."""
    version = installed_version("ray")
    if version is None:
        yield wrong(
            "ray", "not installed, so only --in-process works", "pip install -c constraints.txt 'ray[default,tune]'"
        )
        return
    yield from token(os.environ, Path.home())
    if patient.address is None:
        yield ok("cluster", "none named (--address): a sweep starts a Ray of its own on this machine, for its run")
    elif "://" in patient.address:
        yield from _job_server(patient.address, version)
    else:
        yield from _joined(patient.address, place(patient.root))


# -- the token ---------------------------------------------------------------------------------------------------------


def token(environment: Mapping[str, str], home: Path) -> Iterator[Finding]:
    """Where Ray finds its token on this machine, and who can read it there. It is never shown."""
    mode = environment.get("RAY_AUTH_MODE", "")
    if mode.lower() not in ("", "token"):
        said = f"RAY_AUTH_MODE={mode}: a Ray that is started here lets in everybody who reaches it"
        yield wrong("token", said, "unset RAY_AUTH_MODE, or set it to token")
        return
    if environment.get("RAY_AUTH_TOKEN"):
        cure = "put it into ~/.ray/auth_token (mode 600), or name a file with RAY_AUTH_TOKEN_PATH"
        yield warning("token", "in the variable RAY_AUTH_TOKEN, which every program you start can read", cure)
        return
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    yield _token_file(Path(named).expanduser() if named else home / ".ray" / "auth_token", is_named=bool(named))


def _token_file(file: Path, *, is_named: bool) -> Finding:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        if is_named:
            return wrong("token", f"RAY_AUTH_TOKEN_PATH names {file}, which is not there", "name the file that is")
        return ok("token", f"none yet at {file}; the first Ray that tunekit starts makes one")
    except OSError as error:
        return wrong("token", f"{file}: {error.strerror}", "make it readable for yourself alone (chmod 600)")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        said = f"{file} is open to other users (mode {stat.S_IMODE(mode):o})"
        return wrong("token", said, f"chmod 600 {file}; if others are on this machine, make a new one")
    try:
        is_empty = not storage.read_text(file).strip()
    except (StorageError, UnicodeDecodeError):
        return wrong("token", f"{file} cannot be read", f"chmod 600 {file}, or make a new one")
    if is_empty:
        return wrong("token", f"{file} is empty", "ray get-auth-token --generate")
    return ok("token", f"{file}, for its owner alone")


# -- a cluster ---------------------------------------------------------------------------------------------------------


def _joined(address: str, root: AnyPath) -> Iterator[Finding]:
    from tunekit.execution.launch import versions
    from tunekit.execution.ray_look import lets_strangers_in, survey
    from tunekit.execution.ray_nodes import token_in

    try:
        with scratch(absolute(root)) as folder, token_in(folder) as mark:
            found = survey(address, mark, NODES_S)
    except ConfigError as error:
        refused = "asks for a token" in str(error)
        said = str(error).partition(". Set RAY_AUTH_MODE")[0]
        yield wrong("cluster", one_line(said, limit=400), SAME_TOKEN if refused else START)
        return
    yield ok("cluster", f"joined at {address}, {_sum(found)}")
    yield strangers(lets_strangers_in(address))
    here = versions()
    for report in found:
        yield from node(report, here, root)


def strangers(let_in: bool) -> Finding:
    """Whether the cluster asks for a token at all."""
    if let_in:
        cure = "start every node with RAY_AUTH_MODE=token and one token; until then keep its ports closed"
        return wrong("authentication", "the cluster lets in whoever reaches it, to run any code", cure)
    return ok("authentication", "our token is accepted, and who has none is refused")


def _sum(found: list[NodeReport]) -> str:
    cpu, gpu = (sum(report.offer.get(key, 0) for report in found) for key in ("CPU", "GPU"))
    return f"{plural(len(found), 'node')} with {cpu:g} CPU and {gpu:g} GPU"


def node(report: NodeReport, here: Mapping[str, str], root: AnyPath) -> Iterator[Finding]:
    """One node, against what the driver has.

    Args:
        report: of the node.
        here: versions on the driver.
        root: the folder of the sweeps.
    """
    name = f"node {report.host}"
    view = report.view
    if view is None:
        cure = "install the same tunekit there, into the Python that runs Ray"
        yield wrong(name, f"cannot run tunekit: {one_line(report.problem)}", cure)
        return
    others = [
        f"{what} {view.versions.get(what, 'not there')} (here {mine})"
        for what, mine in here.items()
        if view.versions.get(what) != mine
    ]
    room = f", {in_bytes(view.free_bytes)} of disk free" if view.free_bytes is not None else ""
    said = f"{report.offer.get('CPU', 0):g} CPU, {report.offer.get('GPU', 0):g} GPU{room}"
    if not view.sees_folder:
        yield wrong(name, f"does not see {root}", "put --root on storage that all nodes share")
    if others:
        is_other_code = any(what.startswith("tunekit") for what in others)
        cure = "install the same versions everywhere (make install; constraints.txt)"
        yield (wrong if is_other_code else warning)(name, f"other versions: {', '.join(others)}", cure)
    if abs(report.clock_ahead_s) > CLOCK_S:
        direction = "ahead" if report.clock_ahead_s > 0 else "behind"
        told = f"its clock is {abs(report.clock_ahead_s):.0f} s {direction}"
        yield warning(name, told, "let both set their clocks from the network (timedatectl set-ntp true)")
    if view.free_bytes is not None and view.free_bytes < LITTLE_DISK:
        yield warning(name, said, "free some space there")
    elif view.sees_folder and not others:
        yield ok(name, f"{said}; same versions, sees {root}")


def _job_server(address: str, version: str) -> Iterator[Finding]:
    from tunekit.execution.ray_look import job_server

    shown = without_secrets(address)
    try:
        found = job_server(address)
    except (OSError, ValueError) as error:
        reason = one_line(str(getattr(error, "reason", error)), limit=120)
        yield wrong(
            "job server", f"{shown} does not answer ({reason})", "look at the address; it is the head's, port 8265"
        )
        return
    if found.reason:
        yield wrong("job server", f"{shown} does not let us in ({one_line(found.reason)})", SAME_TOKEN)
        return
    if found.ray != version:
        yield wrong("job server", f"{shown} runs ray {found.ray}, here is {version}", "install the same version of Ray")
    else:
        yield ok("job server", f"{shown} answers, ray {found.ray}")
    yield strangers(found.is_open)
