"""What a job takes along to a cluster, in one package that Ray unpacks on every node that works for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tunekit.cluster.code import installed, local_code, own_package
from tunekit.cluster.places import Item, definition_text, place
from tunekit.errors import ConfigError
from tunekit.storage.packages import PackageTooLarge, write_package
from tunekit.sweep import Sweep
from tunekit.wording import in_bytes, plural

SWEEP_FILE = "sweep.yaml"
MOST_BYTES = 100 * 1024**2 - 4096
"""Of a package: Ray's dashboard takes no request above 100 MiB."""
MOST_UNPACKED_BYTES = 2 * 1024**3
"""Beyond this nothing is packed to see whether it becomes small enough."""


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """Everything that a job needs of this machine."""

    items: tuple[Item, ...]
    left: tuple[str, ...] = ()
    """Paths that are not shipped, and why."""
    needed: tuple[str, ...] = ()
    """Installed packages that the sweep names; the cluster must have them."""
    sweep_file: bytes = b""
    """The sweep file as the cluster reads it; empty for a job that runs none."""

    @property
    def num_bytes(self) -> int:
        """Before packing."""
        return sum(item.num_bytes for item in self.items) + len(self.sweep_file)


def shipment_of(sweep: Sweep, modules: Iterable[str], *, with_data: bool = True) -> Shipment:
    """What `sweep` needs on a cluster.

    Args:
        sweep: as it was read and checked on this machine.
        modules: the modules of the user's own that reading and checking it imported.
        with_data: ship data and backbones that are on this machine.
    """
    named, placed = list(modules), place(sweep, with_data=with_data)
    return Shipment(
        items=(own_package(), *local_code(named), *placed.items),
        left=placed.left,
        needed=installed(named),
        sweep_file=definition_text(placed.definition),
    )


@contextmanager
def packed(shipment: Shipment) -> Iterator[Path]:
    """The package of `shipment`, in a folder that is gone afterwards.

    Raises:
        ConfigError: it is larger than Ray takes.
        StorageError: a file cannot be read, or the package not written.
    """
    files: dict[str, Path | bytes] = {name: path for item in shipment.items for name, path in item.files.items()}
    if shipment.sweep_file:
        files[SWEEP_FILE] = shipment.sweep_file
    with TemporaryDirectory(prefix="tunekit-") as folder:
        package = Path(folder) / "shipment.zip"
        try:
            if shipment.num_bytes > MOST_UNPACKED_BYTES:
                raise PackageTooLarge
            write_package(package, files, most_bytes=MOST_BYTES)
        except PackageTooLarge:
            raise ConfigError(_too_large(shipment)) from None
        yield package


def _too_large(shipment: Shipment) -> str:
    largest = sorted(shipment.items, key=lambda item: -item.num_bytes)[:3]
    listed = "".join(f"\n  {row(item)}" for item in largest if item.what != "tunekit")
    return (
        f"what this sweep reads is too large to be sent along: {in_bytes(shipment.num_bytes)}, and Ray takes at most "
        f"{in_bytes(MOST_BYTES)} once packed. The largest:{listed}\n"
        "Put these on storage that all nodes share, or on a mounted object store, and name them by their path there "
        "(such as /shared/data/xtreme, or $DATA/xtreme with DATA set on the nodes); a backbone may also be a hub id. "
        "What is not on this machine is taken to be on the cluster, and --no-data sends no data at all"
    )


def row(item: Item) -> str:
    """One line that says what is shipped and how large it is."""
    return f"{item.what:17} {in_bytes(item.num_bytes):>10}  {plural(len(item.files), 'file')}  {item.source}"
