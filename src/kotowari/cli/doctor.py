"""What this installation can do."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec

from kotowari.studies import STUDIES

__all__ = ["lines"]

_REQUIREMENT = re.compile(r"(?P<package>[A-Za-z0-9._-]+).*extra == ['\"](?P<extra>\w+)['\"]")
_OPTIONAL = {"umap": "UMAP layouts (umap-learn)", "lightgbm": "gradient boosting and TreeSHAP by LightGBM"}


def lines() -> Iterator[str]:
    """Say version, machine, extras, devices and free disk, a line each."""
    machine = f"{platform.system()} {platform.machine()}"
    yield f"kotowari {metadata.version('kotowari')}, Python {platform.python_version()}, {machine}"
    yield f"{os.cpu_count()} processors, {shutil.disk_usage('.').free / 1e9:.0f} GB free in this folder"
    for extra in (*STUDIES, "cluster"):
        missing = [package for package in _packages(extra) if not _is_installed(package)]
        state = f"lacks {', '.join(missing)}: pip install 'kotowari[{extra}]'" if missing else "complete"
        yield f"extra {extra}: {state}"
    for module, use in _OPTIONAL.items():
        yield f"optional {module}: {'there' if find_spec(module) else 'not installed'} ({use})"
    yield _devices()


def _packages(extra: str) -> list[str]:
    """Return what an extra asks for, as the installed package itself tells."""
    found = map(_REQUIREMENT.match, metadata.requires("kotowari") or ())
    return [match["package"] for match in found if match is not None and match["extra"] == extra]


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _devices() -> str:
    if find_spec("torch") is None:
        return "devices: torch is not installed"
    import torch

    names = ["cpu"]
    names += [f"cuda ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    names += ["mps"] if torch.backends.mps.is_available() else []
    return f"devices: {', '.join(names)}; torch {torch.__version__}"
