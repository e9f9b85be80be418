"""The sheet on which a person looks at every prepared head: pages of pictures, and one HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from kotowari.core.files import write_text
from kotowari.formats.png import read_png, write_png
from kotowari.studies.brain.raw.qc_picture import GREY_COLOUR, TEMPLATE_COLOUR
from kotowari.studies.brain.raw.quality import FLAGS, Quality

__all__ = ["SheetRow", "write_sheet"]

Picture = npt.NDArray[np.uint8]

_A_PAGE = 20
_LABEL = 22  # height of a row's title in pixels
_SHOWN = {
    "gm_ml": ("grey matter, ml", "{:.0f}"),
    "wm_ml": ("white matter, ml", "{:.0f}"),
    "csf_ml": ("fluid, ml", "{:.0f}"),
    "tiv_ml": ("brain's mask, ml", "{:.0f}"),
    "contrast_to_noise": ("contrast to noise", "{:.2f}"),
    "similarity": ("similarity", "{:.2f}"),
    "jacobian_low": ("Jacobian, 1 %", "{:.2f}"),
    "jacobian_high": ("Jacobian, 99 %", "{:.2f}"),
    "covered_share": ("template covered", "{:.3f}"),
    "kept_ratio": ("amount kept", "{:.4f}"),
}
_STYLE = """body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;color:#1c2027}
article{border-top:1px solid #d5d2ca;padding:1em 0}img{max-width:100%;background:#000}
h2{font-size:1em;margin:0 0 .5em}.flag{color:#a3341a}table{border-collapse:collapse;margin-top:.5em}
td,th{padding:.1em .8em .1em 0;text-align:left;font-weight:normal}th{color:#5b6370}.key{padding:0 .4em;color:#000}"""


@dataclass(frozen=True)
class SheetRow:
    """One head on the sheet.

    Parameters
    ----------
    name
        Such as ``sub-01``.
    picture
        PNG file under the folder of the sheet.
    quality
        Its figures.
    """

    name: str
    picture: Path
    quality: Quality


def write_sheet(out: Path, rows: Sequence[SheetRow], failed: Sequence[tuple[str, str]] = ()) -> list[Path]:
    """Write ``qc_sheet.html`` and pages ``qc_sheet_01.png`` ... of twenty heads each, those with flags first.

    They show pictures of the participants, so they stand beside the volumes and nowhere else: no report of a study
    takes them up. The HTML page refers to the pictures by names relative to ``out``.

    Parameters
    ----------
    out
        Folder of the prepared heads.
    rows
        The prepared heads.
    failed
        Name and reason of the others.

    Returns
    -------
    list of Path
        The HTML page, then the pages of pictures.
    """
    ordered = sorted(rows, key=lambda row: (not row.quality.flags(), row.name))
    for old in out.glob("qc_sheet_*.png"):
        old.unlink()
    page = out / "qc_sheet.html"
    write_text(page, _html(out, ordered, failed))
    written = [page]
    for number, start in enumerate(range(0, len(ordered), _A_PAGE), 1):
        path = out / f"qc_sheet_{number:02d}.png"
        write_png(path, _stacked([_titled(row) for row in ordered[start : start + _A_PAGE]]))
        written.append(path)
    return written


def _titled(row: SheetRow) -> Picture:
    strip = read_png(row.picture).astype(np.uint8)
    flags = row.quality.flags()
    bar = Image.new("RGB", (strip.shape[1], _LABEL), "white")
    title = row.name + (f"   LOOK: {', '.join(flags)}" if flags else "")
    ImageDraw.Draw(bar).text(
        (6, 3), title, fill=(163, 52, 26) if flags else (28, 32, 39), font=ImageFont.load_default(14)
    )
    return np.concatenate([np.asarray(bar), strip])


def _stacked(strips: Sequence[Picture]) -> Picture:
    width = max(strip.shape[1] for strip in strips)
    fitted = [np.pad(strip, ((0, 0), (0, width - strip.shape[1]), (0, 0))) for strip in strips]
    return np.concatenate(fitted)


def _html(out: Path, rows: Sequence[SheetRow], failed: Sequence[tuple[str, str]]) -> str:
    flagged = sum(bool(row.quality.flags()) for row in rows)
    grey, blue = ("#{:02x}{:02x}{:02x}".format(*colour) for colour in (GREY_COLOUR, TEMPLATE_COLOUR))
    lost = "".join(f"<li class='flag'>{escape(name)}: {escape(reason)}</li>" for name, reason in failed)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Prepared heads</title>"
        f"<style>{_STYLE}</style><h1>Prepared heads</h1>"
        f"<p>{len(rows)} prepared, {flagged} of them flagged and shown first, {len(failed)} failed. "
        "Each head lies in MNI space: sagittal, coronal and axial slice, the left of the body on the left. "
        f"<span class='key' style='background:{grey}'>Orange</span>: outline of its grey matter; "
        f"<span class='key' style='background:{blue}'>blue</span>: of the template's brain. The two should follow each "
        "other and the cortex.</p><p><strong>These are pictures of the participants.</strong> Keep this page with the "
        "data; no report of a study takes it up. The volumes are like those of SPM12 and CAT12, not equal to them: do "
        f"not mix them in one study.</p><ul>{lost}</ul>{''.join(_article(out, row) for row in rows)}</html>\n"
    )


def _article(out: Path, row: SheetRow) -> str:
    numbers = row.quality.numbers()
    names = "".join(f"<th>{escape(title)}</th>" for title, _ in _SHOWN.values())
    cells = "".join(f"<td>{shape.format(numbers[name])}</td>" for name, (_, shape) in _SHOWN.items())
    flags = "".join(f"<p class='flag'>{escape(flag)}: {escape(FLAGS[flag])}</p>" for flag in row.quality.flags())
    source = escape(row.picture.relative_to(out).as_posix(), quote=True)
    return (
        f"<article><h2>{escape(row.name)}</h2>{flags}<img src='{source}' alt='Three slices of {escape(row.name)}'>"
        f"<table><tr>{names}</tr><tr>{cells}</tr></table></article>"
    )
