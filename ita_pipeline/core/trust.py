"""Whom the user trusts: hosts, buckets and folders, in a file of the user's own and outside of every project.

Run folders, presets, shared caches and a folder's `ita.yaml` are data that someone else may have written. They may
name models, parameters and addresses, but they cannot agree in the user's name to anything being sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from ita_pipeline.core.config import unreadable_file_error
from ita_pipeline.core.errors import UsageError, nearest
from ita_pipeline.core.files import write_atomically
from ita_pipeline.core.remote import WEB_PROTOCOLS, protocol_of, without_query

# Settings of stages that count only if the user gave them, and how to do so.
PERSONAL_SETTINGS = {
    "consent": "ita config trust HOST agrees",
    "key_variable": "set it in your own file, in the environment, or with --set",
}

_BUCKETS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}

# Libraries disagree about the host and port of anything else, such as `[::1]8000`.
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(:[0-9]*)?")


class Trust(BaseModel):
    """What may be sent to a trusted place: posts and pictures, and with `key` also the API key."""

    model_config = ConfigDict(extra="forbid")

    key: bool = False


class TrustFile(BaseModel):
    """The content of `trust.json`."""

    model_config = ConfigDict(extra="forbid")

    places: dict[str, Trust] = {}


def user_config_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the user's own files: `~/.config/ita`, unless XDG_CONFIG_HOME names another folder."""
    return Path(environment.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "ita"


def trust_file() -> Path:
    """Return the file of trusted places."""
    return user_config_folder(os.environ) / "trust.json"


def read_trust() -> dict[str, Trust]:
    """Read the trusted places, as `place_of` returns them.

    Raises:
        MissingError: the file cannot be read.
        UsageError: the file is damaged.
    """
    file = trust_file()
    try:
        return TrustFile.model_validate_json(file.read_bytes()).places
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise unreadable_file_error(file, error) from error
    except ValidationError as error:
        hint = f"remove {file}, and trust again what you trust: ita config trust HOST"
        raise UsageError(f"{file} is damaged, so it is unknown whom you trust", hint) from error


def add_trust(address: str, key: bool = False) -> str:
    """Trust a host, a bucket or a folder, with `key` also with the API key, and return its name in the file."""
    place = place_of(address)
    _write_trust({**read_trust(), place: Trust(key=key)})
    return place


def remove_trust(address: str) -> str:
    """Trust a place no longer, and return its name.

    Raises:
        UsageError: it was not trusted.
    """
    place, places = place_of(address), read_trust()
    if place not in places:
        hint = nearest(place, places) or "ita config trust --list shows what is"
        raise UsageError(f"{place} is not trusted", hint)
    _write_trust({name: trust for name, trust in places.items() if name != place})
    return place


def _write_trust(places: Mapping[str, Trust]) -> None:
    file = trust_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, TrustFile(places=dict(places)).model_dump_json(indent=2) + "\n", mode=0o600)


def place_of(address: str) -> str:
    """Return what is trusted as a whole: `host`, `host:port`, `s3://bucket`, a folder, or the address itself.

    A host without a port is its https server.

    Raises:
        UsageError: the address is not a place.
    """
    protocol, _, rest = address.partition("://") if protocol_of(address) else ("", "", address)
    protocol = protocol.lower()
    if protocol in ("file", "local") or (not protocol and rest.startswith(("/", "~", "."))):
        try:
            return str(Path(rest).expanduser().resolve())
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"{rest} names no folder: {error}", "give a folder's path, as /mnt/ita-cache"
            ) from error
    if protocol in _BUCKETS and rest.split("/")[0]:
        return f"{_BUCKETS[protocol]}://{rest.split('/')[0]}"
    if protocol and protocol not in WEB_PROTOCOLS:
        without_password = re.sub(r":[^/:@]*@", "@", rest, count=1)
        return f"{protocol}://{without_password.rstrip('/')}"
    try:
        parts = urlsplit(address if protocol else f"https://{address}")
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or (80 if protocol == "http" else 443)
        is_plain = _HOST_AND_PORT.fullmatch(parts.netloc.rpartition("@")[2]) is not None
    except ValueError:
        host, port, is_plain = "", 443, False
    if not (host and is_plain) or host.startswith("."):
        hint = "such as api.example.org, localhost:11434 or s3://bucket; a host that is not ASCII as xn--…"
        raise UsageError(f"{without_query(address)} names no host", hint)
    name = f"[{host}]" if ":" in host else host
    if port != 443:
        return f"{name}:{port}"
    return f"http://{name}:443" if protocol == "http" else name


def is_shared_cache_trusted(address: str, folder: Path) -> bool:
    """Whether a shared cache may be used that a file in `folder` names: if it is in there, or is trusted.

    Raises:
        UsageError: the address is not a place.
    """
    place, trusted = place_of(address), read_trust()
    if not place.startswith("/"):
        return place in trusted
    trusted_folders = [folder.resolve(), *(name for name in trusted if name.startswith("/"))]
    return any(Path(place).is_relative_to(name) for name in trusted_folders)


def without_personal(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return settings of stages without those that only the user can give."""
    return {
        section: {name: value for name, value in settings.items() if name not in PERSONAL_SETTINGS}
        for section, settings in sections.items()
    }


def explain_ignored(sections: Mapping[str, Mapping[str, Any]], origin: str) -> dict[str, tuple[str, str]]:
    """Return a message and a hint for each setting that `without_personal` leaves out."""
    return {
        f"{section}.{name}": (f"{origin}: {section}.{name} is ignored, since only you can decide that", hint)
        for section, settings in sections.items()
        for name, hint in PERSONAL_SETTINGS.items()
        if name in settings
    }
