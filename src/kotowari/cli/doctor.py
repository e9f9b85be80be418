"""What this installation can do."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec

__all__ = ["lines"]

_EXTRAS = {
    "brain": ("lightning_fabric", "nibabel", "nilearn", "safetensors", "scipy", "sklearn", "torch"),
    "genenet": ("h5py", "lightning_fabric", "numba", "pyarrow", "safetensors", "scipy", "sklearn", "torch"),
    "cluster": ("dask", "dask_jobqueue", "distributed"),
    "omics": (
        "anndata",
        "gseapy",
        "h5py",
        "lightning_fabric",
        "numba",
        "openTSNE",
        "optuna",
        "PIL",
        "pyarrow",
        "safetensors",
        "scipy",
        "sklearn",
        "torch",
    ),
}
_OPTIONAL = {"umap": "UMAP layouts (umap-learn)", "lightgbm": "gradient boosting and TreeSHAP by LightGBM"}


def lines() -> Iterator[str]:
    """Say version, machine, extras, devices and free disk, a line each."""
    machine = f"{platform.system()} {platform.machine()}"
    yield f"kotowari {metadata.version('kotowari')}, Python {platform.python_version()}, {machine}"
    yield f"{os.cpu_count()} processors, {shutil.disk_usage('.').free / 1e9:.0f} GB free in this folder"
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        state = f"lacks {', '.join(missing)}: pip install 'kotowari[{extra}]'" if missing else "complete"
        yield f"extra {extra}: {state}"
    for module, use in _OPTIONAL.items():
        yield f"optional {module}: {'there' if find_spec(module) else 'not installed'} ({use})"
    yield _devices()


def _devices() -> str:
    if find_spec("torch") is None:
        return "devices: torch is not installed"
    import torch

    names = ["cpu"]
    names += [f"cuda ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    names += ["mps"] if torch.backends.mps.is_available() else []
    return f"devices: {', '.join(names)}; torch {torch.__version__}"
