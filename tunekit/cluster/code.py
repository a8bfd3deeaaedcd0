"""The code that a sweep runs beside installed packages: tunekit itself, and modules of the user's own."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from tunekit.cluster.places import Item, code_files

PACKAGE = Path(__file__).resolve().parents[1]


def own_package() -> Item:
    """tunekit as it is here, so that driver and workers run the code that checked the sweep."""
    return _item("tunekit", PACKAGE)


def local_code(modules: Iterable[str]) -> tuple[Item, ...]:
    """The files of modules that no package manager has put where they are, and of those that they import beside them.

    A package is taken as a whole. A single module brings the modules of its folder that are loaded by now.

    Args:
        modules: dotted names; they have been imported.
    """
    tops = {name.partition(".")[0] for name in modules} - {"tunekit"}
    places = {name: found for name in sorted(tops) if (found := _place(name)) is not None}
    folders = {place.parent for place in places.values()}
    for name in sorted({module.partition(".")[0] for module in list(sys.modules)} - {"tunekit", "__main__"}):
        found = _place(name)
        if found is not None and found.parent in folders:
            places[name] = found
    return tuple(_item("code", place) for _, place in sorted(places.items()))


def installed(modules: Iterable[str]) -> tuple[str, ...]:
    """Those of the modules that are part of an installed package, which the cluster must have too."""
    tops = sorted({name.partition(".")[0] for name in modules} - {"tunekit"})
    return tuple(name for name in tops if name in sys.modules and _place(name) is None)


def _place(top: str) -> Path | None:
    """The file of a module or the folder of a package; None for what is installed, built in or not in files."""
    module = sys.modules.get(top)
    found = next(_files_of(module), None) if module is not None else None
    return found if found is not None and found.exists() and not _is_installed(found) else None


def _files_of(module: ModuleType) -> Iterator[Path]:
    file = getattr(module, "__file__", None)
    if file and os.path.basename(file) not in ("__init__.py", "__init__.pyc"):
        yield Path(file).absolute()
    for folder in getattr(module, "__path__", None) or ():
        yield Path(folder).absolute()


def _is_installed(place: Path) -> bool:
    """Whether a package manager or Python itself has put it there."""
    library = (Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
    return bool({"site-packages", "dist-packages"} & set(place.parts)) or any(map(place.is_relative_to, library))


def _item(what: str, place: Path) -> Item:
    files = {path.relative_to(place.parent).as_posix(): path for path in code_files(place)}
    return Item(what=what, source=str(place), files=files)
