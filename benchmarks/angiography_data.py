"""Pictures that several parts of the angiography benchmark share, and networks that learned from them without masks."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from harness import NotMeasured
from kotowari.studies.angiography.attenuation import XrayRun, xray_run
from kotowari.studies.angiography.contrast_free import find_contrast_free
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from seeds import kept_folder

__all__ = ["LESSON", "Angiogram", "Learned", "angiograms", "cimat_network", "clip", "clip_free", "halves", "learned"]

BoolArray = npt.NDArray[np.bool_]

LESSON = {"n_steps": 400, "n_rounds": 2}
"""Of the network for single frames: the defaults of the class, and of the study's standard preset."""

_QUICK = {"n_steps": 2, "n_rounds": 1, "batch_size": 2, "widths": (8, 12)}
_FULL_SCALE = 255


class Angiogram(NamedTuple):
    """One picture, and the mask that was drawn of it, ``(height, width)``."""

    run: XrayRun
    truth: BoolArray


class Learned(NamedTuple):
    """A network and the CPU seconds that it took."""

    enhancer: VesselEnhancer
    cpu_s: float


@cache
def angiograms(*, quick: bool, is_log: bool | None = False) -> tuple[Angiogram, ...]:
    """Return CIMAT's 40 pictures in the order of their numbers, field of view found; six of them in a quick run.

    They are displays of 8 bits. All methods get them as if they were linear in the light, unless ``is_log`` is None:
    then the skewness of each decides, as it does for a user who says nothing.
    """
    folder = _folder() / "cimat"
    numbers = (1, 2, 3, 21, 22, 23) if quick else range(1, 41)
    return tuple(
        Angiogram(
            xray_run(f"cimat-{number}", _grey(folder / f"{number}.png"), _FULL_SCALE, is_log=is_log),
            _grey(folder / f"{number}_gt.png") > _FULL_SCALE // 2,
        )
        for number in numbers
    )


def halves(n_pictures: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the first and the second half: neighbours in number may be of one patient, and stay together."""
    first, second = np.array_split(np.arange(n_pictures), 2)
    return first, second


@cache
def clip(*, quick: bool) -> XrayRun:
    """Return the run of 96 x 512 x 512 frames; 24 frames of 128 x 128 of it in a quick run."""
    with np.load(_folder() / "clip.npz", allow_pickle=False) as arrays:
        frames, frame_s = arrays["frames"], 1e-3 * float(arrays["frame_time_ms"])
    frames = frames[4:28, 192:320, 192:320] if quick else frames
    return xray_run("clip", frames, _FULL_SCALE, is_log=False, frame_s=frame_s * np.arange(len(frames)))


@cache
def clip_free(*, quick: bool) -> BoolArray:
    """Return which frames of the clip hold no contrast, as they are guessed, shape ``(time,)``."""
    run = clip(quick=quick)
    return np.arange(len(run.frames)) < 6 if quick else find_contrast_free(run.frames, run.field)


def learned(name: str, runs: Callable[[], Sequence[XrayRun]], options: Mapping[str, Any], *, quick: bool) -> Learned:
    """Return a network taught on runs without masks; kept in the cache folder where there is one.

    Parameters
    ----------
    name
        Of what it learns from: one name, one material.
    runs
        Called when there is something to learn.
    options
        Of the enhancer; a quick run has its own.
    quick
        Whether a network that hardly learned anything will do.
    """
    chosen = {**options, **_QUICK} if quick else dict(options)
    return _learned(name, runs, tuple(sorted(chosen.items())))


def cimat_network(half: int, seed: int, *, quick: bool) -> Learned:
    """Return the network of one half of CIMAT's pictures."""

    def runs() -> list[XrayRun]:
        pictures = angiograms(quick=quick)
        return [pictures[place].run for place in halves(len(pictures))[half]]

    return learned(f"cimat-{half}", runs, {**LESSON, "random_state": seed}, quick=quick)


_KNOWN: dict[tuple[Any, ...], Learned] = {}


def _learned(name: str, runs: Callable[[], Sequence[XrayRun]], options: tuple[tuple[str, Any], ...]) -> Learned:
    if (name, options) not in _KNOWN:
        folder = kept_folder("angiography_network", (name, options))
        if folder is None:
            with TemporaryDirectory() as own:
                _KNOWN[name, options] = _read_or_taught(Path(own), runs, dict(options))
        else:
            _KNOWN[name, options] = _read_or_taught(folder, runs, dict(options))
    return _KNOWN[name, options]


def _read_or_taught(folder: Path, runs: Callable[[], Sequence[XrayRun]], options: dict[str, Any]) -> Learned:
    told = folder / "cpu_s.json"
    if not told.is_file():
        begin = time.process_time()
        enhancer = VesselEnhancer(**options, checkpoint=folder, shown=True).fit(runs())
        enhancer.save(folder / "network")
        told.write_text(json.dumps(time.process_time() - begin), encoding="utf-8")
    return Learned(VesselEnhancer.load(folder / "network"), float(json.loads(told.read_text(encoding="utf-8"))))


def _grey(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def _folder() -> Path:
    if "KOTOWARI_DATA" not in os.environ:
        raise NotMeasured("KOTOWARI_DATA is not set, so the angiograms are not at hand.")
    folder = Path(os.environ["KOTOWARI_DATA"]) / "angiography"
    if not folder.is_dir():
        raise NotMeasured("KOTOWARI_DATA holds no folder angiography.")
    return folder
