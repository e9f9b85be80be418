"""Known mathematics in deep networks for small biomedical data, with reasons that are tested."""

from importlib import import_module
from typing import Any

__all__ = [
    "core",
    "datasets",
    "explain",
    "formats",
    "networks",
    "operators",
    "priors",
    "report",
    "simulators",
    "solvers",
    "studies",
    "training",
    "trust",
    "unrolled",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # 0.08 s: paid only by who asks

        return version("kotowari")
    if name in __all__:
        return import_module(f"kotowari.{name}")
    raise AttributeError(f"module 'kotowari' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
