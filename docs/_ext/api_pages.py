"""A page for every public package, written from its ``__all__`` before each build."""

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.typing import ExtensionMetadata


def setup(app: Sphinx) -> ExtensionMetadata:
    """Write the pages as soon as the configuration is known, so that they are found as sources."""
    app.add_config_value("api_packages", [], "env")
    app.connect("config-inited", _write_pages)
    app.connect("autodoc-skip-member", _skip_strangers)
    return {"parallel_read_safe": True}


def _write_pages(app: Sphinx, config: Config) -> None:
    folder = Path(app.srcdir) / "api" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    pages = {f"{package}.rst": "\n".join(_page(package)) for package in config.api_packages}
    for stale in set(folder.glob("*.rst")) - {folder / name for name in pages}:
        stale.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # an equal page is not built again
            path.write_text(text, encoding="utf-8")


def _page(package: str) -> Iterator[str]:
    module = import_module(package)
    found = {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
    kinds = {
        "Classes": [name for name, part in found.items() if inspect.isclass(part) and not _is_error(part)],
        "Functions": [name for name, part in found.items() if inspect.isroutine(part)],
        "Errors": [name for name, part in found.items() if _is_error(part)],
        "Names": [name for name, part in found.items() if not callable(part)],
    }
    yield from (package, "=" * len(package), "", f".. automodule:: {package}", "   :no-members:", "")
    yield from (f".. currentmodule:: {package}", "")
    for title, names in kinds.items():
        if names:
            yield from _section(package, title, names)


def _section(package: str, title: str, names: Iterable[str]) -> Iterator[str]:
    yield from (title, "-" * len(title), "")
    if title != "Names":
        yield from (".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in names), "")
    for name in names:
        match title:
            case "Functions":
                yield from (f".. autofunction:: {name}", "")
            case "Names":
                yield from (f".. py:data:: {name}", f"   :value: {getattr(import_module(package), name)!r}", "")
            case _:
                yield f".. autoclass:: {name}"
                yield from ("   :members:", "   :inherited-members:", "")


def _skip_strangers(_app: Sphinx, _what: str, name: str, member: Any, *_: Any) -> bool | None:
    """Leave methods that come from other packages to those who wrote them."""
    function = getattr(member, "fget", None) or getattr(member, "__func__", member)
    owner = function if getattr(function, "__module__", None) else getattr(function, "__objclass__", None)
    is_strange = callable(function) and not getattr(owner, "__module__", "").startswith("kotowari")
    return True if is_strange or name.startswith("model_") else None  # None: as it would be without this


def _is_error(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, Exception)
