"""The Hugging Face hub and the folders that keep what came from it, or what can be made again."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

from tunekit import storage
from tunekit.doctor.findings import Finding, Patient, ok, warning, wrong
from tunekit.doctor.machine import disk
from tunekit.errors import StorageError
from tunekit.redaction import without_secrets
from tunekit.wording import one_line

HUB = "https://huggingface.co"
ANSWER_S = 5.0
"""How long the hub may take to answer."""
TRUE = {"1", "on", "yes", "true"}
"""What huggingface_hub takes for yes."""
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
WITHOUT = "set HF_ENDPOINT to a mirror, or name local folders in the sweep file and set HF_HUB_OFFLINE=1"


def hub(patient: Patient) -> Iterator[Finding]:
    """Whether the hub answers, and whether the caches can be written."""
    yield reachable()
    yield from cache("hub cache", hub_cache(), "set HF_HOME to a folder that you can write")
    yield from cache("tunekit cache", storage.cache_folder(), "set TUNEKIT_CACHE to a folder that you can write")


def reachable() -> Finding:
    """Whether the hub, or the mirror that HF_ENDPOINT names, answers. Its token is not sent."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").lower() in TRUE:
            return ok("hub", f"not asked, because {name} is set: only what is cached or local can be used")
    place = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    shown = without_secrets(place)
    if urllib.parse.urlsplit(place).scheme not in ("http", "https"):
        return wrong("hub", f"HF_ENDPOINT is {shown!r}", "set it to a web address, such as https://hf-mirror.com")
    token = next((f"with the token of {name}" for name in TOKENS if os.environ.get(name)), "without a token")
    try:
        with urllib.request.urlopen(f"{place}/api/models?limit=1", timeout=ANSWER_S):
            return ok("hub", f"{shown} answers; {token}")
    except urllib.error.HTTPError as error:
        return warning("hub", f"{shown} answers with error {error.code}", f"try again later, or {WITHOUT}")
    except (OSError, ValueError, http.client.HTTPException) as error:  # URLError is an OSError
        reason = one_line(str(getattr(error, "reason", error)), limit=120)
        return warning("hub", f"{shown} does not answer ({reason})", f"{WITHOUT}; behind a proxy, set HTTPS_PROXY")


def hub_cache() -> Path:
    """Where huggingface_hub keeps models and datasets."""
    home = os.environ.get("HF_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or str(Path(home) / "hub")).expanduser()


def cache(name: str, folder: Path, cure: str) -> Iterator[Finding]:
    """Whether a folder can be written, and how much is free there; one that is not there is not made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    mark = there / f".tunekit-doctor-{uuid.uuid4().hex}"
    try:
        storage.write_text(mark, "")
        storage.remove(mark)
    except StorageError as error:
        yield wrong(name, str(error), cure)
        return
    yield disk(name, folder, "free some space there")
