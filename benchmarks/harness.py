"""What all benchmarks share: options, one thread, parts measured one by one, a table with goals, one flat JSON."""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ["Figure", "Figures", "NotMeasured", "Part", "import_seconds", "peers", "run", "slug"]

Figures = dict[str, float | int | bool | str | None]

_HOME = Path(__file__).parent
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_LIBRARIES = ("kotowari", "torch", "numpy", "scipy", "pandas", "scikit-learn", "numba")


class NotMeasured(Exception):  # noqa: N818  # not an error: the sentence stands in the table
    """A part cannot be measured here; the sentence says why."""


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Parameters
    ----------
    key
        Name in the JSON file. Its interval, if any, stands under ``key_low`` and ``key_high``.
    what
        A few words for the table.
    at_least, at_most, above
        The goal: a number, or the key of the figure to reach. None for a figure without a goal.
    beside
        Key of the comparator's figure, printed beside.
    """

    key: str
    what: str
    at_least: float | str | None = None
    at_most: float | str | None = None
    above: float | str | None = None
    beside: str | None = None


@dataclass(frozen=True)
class Part:
    """What is measured in one go.

    Parameters
    ----------
    name
        Short word; ``--only`` knows it beside the keys.
    keys
        Figures of the table that it gives; it may give more.
    measure
        Called with ``quick``; returns figures by key, or raises :class:`NotMeasured`.
    """

    name: str
    keys: tuple[str, ...]
    measure: Callable[[bool], Figures]


def run(study: str, figures: Sequence[Figure], parts: Sequence[Part], libraries: Sequence[str] = ()) -> int:
    """Measure the parts that were asked for, print the table, write the JSON file after every part.

    Parameters
    ----------
    study
        Name of the study, for the heading.
    figures
        Lines of the table, in order.
    parts
        What there is to measure.
    libraries
        Distributions whose versions matter beside those that every study uses.

    Returns
    -------
    int
        Exit code: 0, whether or not the goals are reached.
    """
    options = _options(study, parts)
    _keep_to_one_thread()
    found = _earlier(options)
    for part in parts:
        if options.only and not {part.name, *part.keys} & set(options.only):
            continue
        found |= _measured(part, quick=options.quick)
        found |= _circumstances((*_LIBRARIES, *libraries), quick=options.quick)
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n", encoding="utf-8")
    _print_table(study, figures, found)
    return 0


def peers(study: str, *, quick: bool, rounds: int = 2) -> Figures:
    """Run the peers' script of a study beside ``plugin.py`` and return its figures, flat.

    ``peers_<case>_<entry>_cpu_ms`` is the median CPU time of one unit of work, ``..._ratio`` the project's time by the
    peer's, ``..._<check>`` what was reached, and ``..._status`` why an entry has no time. ``peers`` says what ran.

    Raises
    ------
    NotMeasured
        When the environment variable KOTOWARI_PEERS does not lead to a script.
    """
    if "KOTOWARI_PEERS" not in os.environ:
        raise NotMeasured("peers not run: KOTOWARI_PEERS is not set.")
    script = Path(os.environ["KOTOWARI_PEERS"]) / f"{study}.py"
    if not script.is_file():
        raise NotMeasured(f"peers not run: KOTOWARI_PEERS holds no {script.name}.")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "peers.json"
        command = [sys.executable, str(script), "--plugin", str(_HOME / "plugin.py"), "--json", str(path)]
        command += ["--threads", "1", "--quick"] if quick else ["--threads", "1", "--runs", str(rounds)]
        done = subprocess.run(command, check=False)
        if not path.exists():
            raise NotMeasured(f"peers not run: {script.name} ended with exit code {done.returncode}.")
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
    flat: Figures = {"peers": "run" if done.returncode == 0 else "run; the project failed a case or its accuracy"}
    for case in results:
        for entry in case["entries"]:
            flat |= _flat_entry(f"peers_{slug(case['case'])}_{slug(entry['name'])}", entry)
    return flat


def import_seconds(module: str, bare: str, rounds: int) -> tuple[float, float]:
    """Time the import of a module in a new interpreter: what it adds to the statement ``bare``, and that; wall seconds.

    Medians of paired runs.
    """
    codes = {"bare": bare, "import": f"import {module}"}
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times[name].append(time.perf_counter() - begin)
    added = [after - before for before, after in zip(times["bare"], times["import"], strict=True)]
    return statistics.median(added), statistics.median(times["bare"])


def _flat_entry(prefix: str, entry: dict[str, Any]) -> Figures:
    if entry["status"] != "ok":
        return {f"{prefix}_status": entry["status"]}
    flat: Figures = {f"{prefix}_cpu_ms": 1e3 * entry["cpu_median_s"]}
    if entry.get("cpu_ratio") is not None:
        flat[f"{prefix}_ratio"] = entry["cpu_ratio"]
    return flat | {f"{prefix}_{slug(name)}": value for name, value in entry["check"].items()}


def slug(name: str) -> str:
    """Return a name as it stands in a key: small letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _options(study: str, parts: Sequence[Part]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"Measure the figures of the {study} study.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, flat")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that all runs: the figures say little"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="KEY", help="measure what gives these keys or parts; the FILE keeps the others"
    )
    options = parser.parse_args()
    known = {word for part in parts for word in (part.name, *part.keys)}
    unknown = sorted(set(options.only or ()) - known)
    if unknown:
        parser.error(f"no figure or part is called {', '.join(unknown)}; there are {', '.join(sorted(known))}.")
    return options


def _keep_to_one_thread() -> None:
    """Start again with one thread where the environment does not say so yet: libraries read it when they are loaded."""
    if any(os.environ.get(name) != "1" for name in _THREADS):
        os.environ.update(dict.fromkeys(_THREADS, "1"))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # this very command


def _earlier(options: argparse.Namespace) -> Figures:
    """Return the figures that a partial run leaves as they are; those of other sizes are not mixed in."""
    if not (options.only and options.json and options.json.exists()):
        return {}
    earlier: Figures = json.loads(options.json.read_text(encoding="utf-8"))
    return earlier if earlier.get("quick") == options.quick else {}


def _measured(part: Part, *, quick: bool) -> Figures:
    print(f"{part.name} ...", file=sys.stderr, flush=True)
    begin = _cpu_seconds()
    try:
        figures = part.measure(quick)
    except NotMeasured as reason:
        return dict.fromkeys(part.keys) | {f"not_measured_{part.name}": str(reason)}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    finite = {
        key: None if isinstance(value, float) and not isfinite(value) else value for key, value in figures.items()
    }
    return finite | {f"cpu_s_{part.name}": round(_cpu_seconds() - begin, 2), f"date_{part.name}": now}


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _circumstances(libraries: Sequence[str], *, quick: bool) -> Figures:
    return {
        "quick": quick,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _processor(),
        "machine_cores": os.cpu_count(),
        "machine_load_1min": round(os.getloadavg()[0], 2),
        "threads": 1,
        "version_python": platform.python_version(),
    } | {f"version_{slug(name)}": _version(name) for name in libraries}


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", listing.read_text(encoding="utf-8")) if listing.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


# ------------------------------------------------------------------------------------------------------------- table


def _print_table(study: str, figures: Sequence[Figure], found: Figures) -> None:
    heading = f"{study}{', quick: small sizes, the goals do not apply' if found.get('quick') else ''}"
    rows = [("figure", "value", "goal", "", "beside")]
    rows += [_row(figure, found) for figure in figures if figure.key in found]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    print(f"\n{heading}\n{'=' * len(heading)}")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for key, reason in found.items():
        if key.startswith("not_measured_"):
            print(f"{key.removeprefix('not_measured_')}: {reason}")


def _row(figure: Figure, found: Figures) -> tuple[str, str, str, str, str]:
    value = found[figure.key]
    text = _text(value)
    if f"{figure.key}_low" in found and f"{figure.key}_high" in found:
        text += f" [{_text(found[f'{figure.key}_low'])}, {_text(found[f'{figure.key}_high'])}]"
    beside = "" if figure.beside is None else f"{_text(found.get(figure.beside))} {figure.beside}"
    return (f"{figure.key} ({figure.what})", text, _goal(figure), _verdict(figure, found), beside)


def _goal(figure: Figure) -> str:
    signs = {">=": figure.at_least, "<=": figure.at_most, ">": figure.above}
    return " and ".join(f"{sign} {bound}" for sign, bound in signs.items() if bound is not None)


def _verdict(figure: Figure, found: Figures) -> str:
    value = found[figure.key]
    if not _goal(figure) or value is None or found.get("quick"):
        return ""
    at_least, at_most, above = (_bound(bound, found) for bound in (figure.at_least, figure.at_most, figure.above))
    number = float(value)
    reached = (
        (at_least is None or number >= at_least)
        and (at_most is None or number <= at_most)
        and (above is None or number > above)
    )
    return "reached" if reached else "MISSED"


def _bound(bound: float | str | None, found: Figures) -> float | None:
    if isinstance(bound, str):
        other = found.get(bound)
        return None if other is None else float(other)
    return bound


def _text(value: float | int | bool | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
