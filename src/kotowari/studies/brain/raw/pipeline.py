"""Raw T1 heads prepared one by one, into a folder that a study reads."""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from kotowari.core.errors import InputError, KotowariError
from kotowari.core.files import fingerprint, write_text
from kotowari.core.progress import Progress
from kotowari.studies.brain.raw.ants_tools import AntsTools
from kotowari.studies.brain.raw.apart import run_apart
from kotowari.studies.brain.raw.chain import prepare_head
from kotowari.studies.brain.raw.heads import Head, find_heads, read_head
from kotowari.studies.brain.raw.qc_sheet import SheetRow, write_sheet
from kotowari.studies.brain.raw.quality import Quality
from kotowari.studies.brain.raw.records import finished_quality, head_paths, open_folder, write_head
from kotowari.studies.brain.raw.template import mni_template
from kotowari.studies.brain.raw.tools import HeadTools

__all__ = ["PreparedHeads", "prepare_heads"]

_STEPS = 1  # counted up when a change of the chain changes its results


@dataclass(frozen=True)
class PreparedHeads:
    """What became of the heads.

    Parameters
    ----------
    folder
        BIDS derivatives, ready for :func:`kotowari.studies.brain.volume_files.find_volumes`.
    quality
        Figures by name (``sub-01``), of all heads that stand in the folder now, in the order of the source.
    skipped
        Names of those that had been prepared before.
    failed
        Name to the sentence that says why.
    """

    folder: Path
    quality: Mapping[str, Quality]
    skipped: tuple[str, ...]
    failed: Mapping[str, str]

    def sentence(self) -> str:
        """Say in one line how many were prepared, skipped, flagged and failed."""
        flagged = sum(bool(quality.flags()) for quality in self.quality.values())
        return (
            f"{len(self.quality)} heads prepared ({len(self.skipped)} of them before), {flagged} flagged, "
            f"{len(self.failed)} failed. Look at {self.folder / 'qc_sheet.html'} before use."
        )


def prepare_heads(
    source: str | Path,
    out: str | Path,
    *,
    template_mm: float = 1.5,
    registration_mm: float = 2.0,
    workers: int = 1,
    pattern: str | None = None,
    tools: HeadTools | None = None,
    apart: bool = True,
    shown: bool = True,
) -> PreparedHeads:
    """Make modulated grey matter in MNI space of raw T1 heads; needs the extra ``[prep]``.

    The result is like the outputs of SPM12 and CAT12, not equal to them, and must not be mixed with theirs in one
    study. Whoever has outputs of SPM12 or CAT12 gives those to the study as they are, and needs nothing of this.

    Written are ``sub-*/anat/sub-*_space-MNI152_label-GM_desc-modulated_probseg.nii.gz`` with a record beside each,
    ``quality.tsv``, and a sheet to look at (``qc_sheet.html``, ``qc_sheet_*.png``). The sheet shows the participants
    and belongs beside the volumes only.

    A head whose scan, settings and programs are as they were is not prepared again: a stopped call goes on when it is
    repeated. A head that fails, or whose process is killed, costs only itself; its sentence stands in the table.

    Parameters
    ----------
    source
        A BIDS tree, any folder, or a table with the columns ``participant_id`` and ``path``.
    out
        Folder of the results.
    template_mm
        Voxels of the results, 1 to 12 mm.
    registration_mm
        Voxels of the template in the registration, 1 to 12 mm; smaller is slower and follows the cortex more closely.
    workers
        Heads at once, 1 or more; each takes one thread and about 1.5 GB.
    pattern
        Names of the scans with ``*`` and ``?``; None for ``*T1w.nii*``.
    tools
        Who does the four steps; None for deepbet and ANTs.
    apart
        Whether each head has a process of its own; False runs them one by one in this process.
    shown
        Whether progress is shown on stderr.

    Raises
    ------
    InputError
        When no scan is found, two have one name, or ``out`` holds another data set.
    MissingExtraError
        When deepbet, antspyx, nibabel or nilearn is not installed.
    """
    if workers < 1:
        raise InputError(f"prepare_heads: workers must be 1 or more, got {workers}.")
    out = Path(out)
    heads = find_heads(Path(source), pattern=pattern)
    chosen = AntsTools() if tools is None else tools
    recipe = {
        "steps": _STEPS,
        "template_mm": float(template_mm),
        "registration_mm": float(registration_mm),
        "programs": dict(chosen.versions()),
    }
    for voxel_mm in (template_mm, registration_mm):
        mni_template(voxel_mm)  # refused here once, not in every head
    open_folder(out, metadata.version("kotowari"))
    quality, failed, waiting = _sorted_out(heads, out, recipe)
    skipped = tuple(quality)
    jobs = {head.name: (head, out, print_, recipe, chosen) for head, print_ in waiting}
    progress = Progress(shown=shown)
    with progress.bar("Preparing heads", len(jobs)) as advance:
        for name, future in run_apart(_prepare, jobs, workers=workers) if apart else _here(jobs):
            error = future.exception()
            if error is None:
                quality[name] = future.result()
            else:
                failed[name] = _told(error)
                progress.say(f"{name} failed: {failed[name]}")
            advance(1)
    names = [head.name for head in heads]
    quality = {name: quality[name] for name in names if name in quality}
    failed = {name: failed[name] for name in names if name in failed}
    _write_tables(out, heads, quality, failed)
    return PreparedHeads(out, quality, skipped, failed)


def _prepare(head: Head, out: Path, source: Mapping[str, Any], recipe: Mapping[str, Any], tools: HeadTools) -> Quality:
    values, grid = read_head(head.path)
    prepared = prepare_head(
        values, grid, tools, template_mm=recipe["template_mm"], registration_mm=recipe["registration_mm"]
    )
    write_head(head_paths(out, head), prepared, source, recipe)
    return prepared.quality


def _sorted_out(
    heads: Sequence[Head], out: Path, recipe: Mapping[str, Any]
) -> tuple[dict[str, Quality], dict[str, str], list[tuple[Head, Mapping[str, Any]]]]:
    """Return figures of finished heads, reasons of unreadable ones, and the rest with the scans' fingerprints."""
    finished: dict[str, Quality] = {}
    failed: dict[str, str] = {}
    waiting: list[tuple[Head, Mapping[str, Any]]] = []
    for head in heads:
        try:
            source = fingerprint(head.path)
        except InputError as error:
            failed[head.name] = str(error)
            continue
        quality = finished_quality(head_paths(out, head), source, recipe)
        if quality is None:
            waiting.append((head, source))
        else:
            finished[head.name] = quality
    return finished, failed, waiting


def _here(jobs: Mapping[str, tuple[Any, ...]]) -> Iterator[tuple[str, "Future[Quality]"]]:
    for name, arguments in jobs.items():
        future: Future[Quality] = Future()
        try:
            future.set_result(_prepare(*arguments))
        except (KotowariError, OSError) as error:
            future.set_exception(error)
        yield name, future


def _told(error: BaseException) -> str:
    if isinstance(error, KotowariError):
        return str(error)
    if isinstance(error, BrokenExecutor):
        return "Its process was ended from outside, most likely for want of memory. Try again with fewer workers."
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _write_tables(out: Path, heads: Sequence[Head], quality: Mapping[str, Quality], failed: Mapping[str, str]) -> None:
    figures = [field.name for field in fields(Quality)]
    lines = [["participant_id", "session", "state", "flags", *figures, "reason"]]
    rows = []
    for head in heads:
        start = [f"sub-{head.participant}", head.session or "n/a"]
        if head.name in failed:
            reason = " ".join(failed[head.name].split())
            lines.append([*start, "failed", "n/a", *("n/a" for _ in figures), reason])
            continue
        found = quality[head.name]
        cells = [f"{number:.6g}" if math.isfinite(number) else "n/a" for number in found.numbers().values()]
        lines.append([*start, "prepared", ",".join(found.flags()) or "n/a", *cells, "n/a"])
        rows.append(SheetRow(head.name, head_paths(out, head).picture, found))
    write_text(out / "quality.tsv", "".join("\t".join(cells) + "\n" for cells in lines))
    write_sheet(out, rows, list(failed.items()))
