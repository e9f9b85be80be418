"""Directives that show a study's configuration as its code has it: every option, and what the presets set."""

from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from kotowari.core.options import commented_yaml
from kotowari.studies import study_named

_PRESETS = ("quick", "standard", "full")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directives ``study-options`` and ``study-presets``."""
    app.add_directive("study-options", StudyOptions)
    app.add_directive("study-presets", StudyPresets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class StudyOptions(SphinxDirective):
    """Show the commented configuration of the study that is named."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a block of YAML."""
        kind = study_named(self.arguments[0]).Config
        text = commented_yaml(kind.demo(), set_by_preset=kind.set_by_preset())
        return [nodes.literal_block(text, text, language="yaml")]


class StudyPresets(SphinxDirective):
    """Show what each preset sets, a row an option."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a table."""
        return self.parse_text_to_nodes("\n".join(self._table()))

    def _table(self) -> Iterator[str]:
        kind = study_named(self.arguments[0]).Config
        configs = [kind.demo(preset) for preset in _PRESETS]
        yield from (".. list-table::", "   :header-rows: 1", "", "   * - option")
        yield from (f"     - {preset}" for preset in _PRESETS)
        for name in sorted(kind.set_by_preset()):
            section, key = name.split(".")
            yield f"   * - ``{name}``"
            yield from (f"     - {_plain(getattr(getattr(config, section), key))}" for config in configs)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
