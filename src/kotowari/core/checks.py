"""Checks at the door: one clear sentence, before anything is computed."""

from collections import Counter
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType

from kotowari.core.errors import CapabilityError, InputError, MissingExtraError

__all__ = ["few", "require_extra", "require_methods", "require_unique"]


def require_methods(obj: object, *methods: str, by: str) -> None:
    """Raise :class:`CapabilityError` naming every method that ``by`` needs and ``obj`` lacks."""
    missing = [name for name in methods if not callable(getattr(obj, name, None))]
    if missing:
        raise CapabilityError(
            f"{type(obj).__name__} cannot be used with {by}: it has no {' and no '.join(missing)}. "
            f"{by} needs {', '.join(methods)}."
        )


def require_extra(module: str, *, extra: str, by: str) -> ModuleType:
    """Import ``module``, or raise :class:`MissingExtraError` with the line that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise MissingExtraError(
            f"{by} needs {library}, which is not installed. Install it: pip install 'kotowari[{extra}]'"
        ) from error


def require_unique(names: Iterable[object], *, what: str, where: str) -> None:
    """Raise :class:`InputError` that lists the first names standing more than once."""
    repeated = [str(name) for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{where}: {len(repeated)} {what} stand more than once ({few(repeated)}). Make them unique.")


def few(names: Iterable[object], limit: int = 5) -> str:
    """Join the first names for a sentence, and say how many more there are.

    Examples
    --------
    >>> few(["TP53", "KRAS", "APC"], limit=2)
    'TP53, KRAS and 1 more'
    """
    listed = [str(name) for name in names]
    shown = ", ".join(listed[:limit])
    return shown if len(listed) <= limit else f"{shown} and {len(listed) - limit} more"
