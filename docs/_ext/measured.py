"""What `benchmarks/results` holds, laid out while building: directive `measured-figures`, role `measured`."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.typing import ExtensionMetadata, OptionSpec

Value = float | int | bool | str | None
Figures = Mapping[str, Value]

_KEY_ROW = re.compile(r"^\|([^|]*`[^|]*)\|([^|]*)\|", re.MULTILINE)
_RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
_CIRCUMSTANCE = re.compile(r"^(quick|threads|machine.*|date.*|version_.*|cpu_s_.*|not_measured_.*)$")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directive and the role."""
    app.add_directive("measured-figures", MeasuredFigures)
    app.add_role("measured", MeasuredFigure())
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class MeasuredFigures(SphinxDirective):
    """Lay out every result file of a folder, a table each; say so where there is none."""

    option_spec: ClassVar[OptionSpec] = {
        "results": directives.unchanged_required,
        "keys": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Return the tables as sections."""
        here = Path(self.env.doc2path(self.env.docname)).parent
        folder, described = here / self.options["results"], here / self.options["keys"]
        words = _words(described)
        if described.exists():
            self.env.note_dependency(described)
        files = sorted(folder.glob("*.json")) if folder.is_dir() else []
        if not files:
            return self.parse_text_to_nodes("No result file exists yet, so there are no figures to show.")
        for path in files:
            self.env.note_dependency(path)
        lines = [line for path in files for line in _study(path.stem, _read(path), words)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class MeasuredFigure(SphinxRole):
    """Put one figure into a sentence, with its interval where there is one: ``:measured:`genenet job2011_minutes```."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the figure as text."""
        study, key = self.text.split()
        path = _RESULTS / f"{study}.json"
        self.env.note_dependency(path)
        figures = _read(path) if path.exists() else {}
        value, low, high = (figures.get(f"{key}{end}") for end in ("", "_low", "_high"))
        text = _text(value, 3)
        if value is not None and low is not None and high is not None:
            text = f"{text} ({_text(low, 3)} to {_text(high, 3)})"
        return [nodes.Text(text)], []


def _read(path: Path) -> Figures:
    figures: Figures = json.loads(path.read_text(encoding="utf-8"))
    return figures


def _words(path: Path) -> dict[str, str]:
    """Return what the tables of the benchmarks' README say of each key."""
    if not path.exists():
        return {}
    rows = _KEY_ROW.findall(path.read_text(encoding="utf-8"))
    return {key: text.strip() for keys, text in rows for key in re.findall(r"`([^`]+)`", keys)}


def _study(name: str, figures: Figures, words: Mapping[str, str]) -> Iterator[str]:
    yield from (name, "-" * len(name), "", _circumstances(figures), "")
    if figures.get("quick"):
        yield from ("These are of small sizes, made to see that everything runs: they say little.", "")
    own = {key: value for key, value in figures.items() if not _CIRCUMSTANCE.match(key)}
    peers = {key: own.pop(key) for key in list(own) if key.startswith("peers")}
    yield from _table(_with_intervals(own), words)
    reasons = {key.removeprefix("not_measured_"): text for key, text in figures.items() if "not_measured_" in key}
    for part, text in reasons.items():
        yield from (f"- {part}: {text}", "")
    if peers:
        title = "Beside other packages"
        yield from (title, "~" * len(title), "", *_table({key: _text(value) for key, value in peers.items()}, words))


def _circumstances(figures: Figures) -> str:
    versions = ", ".join(
        f"{key.removeprefix('version_')} {value}"
        for key, value in figures.items()
        if key.startswith("version_") and value
    )
    told = {"machine": "on {}", "machine_cores": "{} cores", "threads": "threads: {}", "date": "{}"}
    words = [form.format(figures[key]) for key, form in told.items() if figures.get(key) is not None]
    return f"Measured {', '.join(words)}. Versions: {versions or 'not recorded'}."


def _with_intervals(figures: Figures) -> dict[str, str]:
    """Put the ends of an interval behind its figure."""
    shown = {}
    for key, value in figures.items():
        low, high = figures.get(f"{key}_low"), figures.get(f"{key}_high")
        is_end = any(key.endswith(end) and f"{key.removesuffix(end)}_high" in figures for end in ("_low", "_high"))
        if is_end and key.rsplit("_", 1)[0] in figures:
            continue
        both = low is not None and high is not None
        shown[key] = f"{_text(value)} [{_text(low)}, {_text(high)}]" if both else _text(value)
    return shown


def _table(rows: Mapping[str, str], words: Mapping[str, str]) -> Iterator[str]:
    if not rows:
        return
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 35 20 45", "", "   * - key", "     - value")
    yield "     - what it is"
    for key in sorted(rows):
        yield from (f"   * - ``{key}``", f"     - {rows[key]}", f"     - {_plain(words.get(key, ''))}")
    yield ""


def _plain(markdown: str) -> str:
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", markdown).replace("*", r"\*")


def _text(value: Value, n_digits: int = 4) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{n_digits}g}" if isinstance(value, float) else str(value)
