"""What goes into the angiography study: runs and single frames as log attenuation, and masks that only score."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kotowari.core.errors import InputError, ShapeError
from kotowari.core.files import fingerprint
from kotowari.core.seeds import derive_seed
from kotowari.formats.dicom import read_xray
from kotowari.formats.image import read_pages
from kotowari.formats.video import read_frames
from kotowari.studies.angiography.attenuation import XrayRun, xray_run
from kotowari.studies.angiography.config import Config, Data
from kotowari.studies.angiography.phantom import RunPhantom, simulate_run
from kotowari.studies.angiography.phantom_settings import RunSettings
from kotowari.studies.angiography.sources import IMAGES, VIDEOS, Recording, find_recordings

__all__ = ["Material", "RawFrames", "load", "read_inputs", "read_raw", "recordings_of", "run_of"]

BoolArray = npt.NDArray[np.bool_]

_GREY_BYTES = 255.0
_FRAMES_AXES = 3


@dataclass(frozen=True, eq=False)
class RawFrames:
    """Frames as a detector or camera wrote them; see :class:`kotowari.formats.dicom.XrayFrames`.

    ``is_log`` is None where the file does not tell.
    """

    frames: npt.NDArray[np.generic]
    full_scale: float
    frame_s: npt.NDArray[np.float64] | None = None
    pixel_mm: float | None = None
    shutter: BoolArray | None = None
    is_log: bool | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Material:
    """One recording, read.

    Parameters
    ----------
    run
        Its frames in attenuation.
    truth
        Vessel masks, shape ``(time, height, width)``, or ``(1, height, width)`` for the one frame ``truth_frame``;
        None where nothing is known. Nothing learns from them.
    truth_frame
        Frame that a single mask belongs to.
    planted
        The simulated run where there is one.
    """

    run: XrayRun
    truth: BoolArray | None = None
    truth_frame: int | None = None
    planted: RunPhantom | None = None


def recordings_of(config: Config) -> tuple[Recording, ...]:
    """Return what is there, not yet read; simulated runs have no paths."""
    if config.data.runs == "phantom":
        n = config.phantom.n_runs
        return tuple(Recording(f"run-{k:03d}", f"patient-{k:02d}", ()) for k in range(1, n + 1))
    return find_recordings(config.data)


def read_inputs(recordings: Sequence[Recording]) -> list[dict[str, str | int]]:
    """Return fingerprints of all files, by the neutral names of their recordings: a file's name may be a patient's."""
    found = []
    for recording in recordings:
        files = [(f"{recording.name}-{k}", path) for k, path in enumerate(recording.paths)]
        if recording.mask is not None:
            files.append((f"{recording.name}-mask", recording.mask))
        found += [fingerprint(path) | {"name": name} for name, path in files]
    return found


def load(recording: Recording, config: Config) -> Material:
    """Read one recording with its mask, or simulate it.

    Raises
    ------
    InputError
        When a file cannot be read or used; the sentence names it.
    """
    if not recording.paths:
        return _simulated(recording, config)
    run = run_of(recording.name, recording.paths, config.data)
    if recording.mask is None:
        return Material(run)
    truth = _read_mask(recording.mask, run)
    if len(truth) == 1 and len(run.frames) > 1 and recording.mask_frame is None:
        raise InputError(
            f"{recording.mask.name}: is one mask for a run of {len(run.frames)} frames. Name the frame that it was "
            "drawn on in the column frame of a table of recordings."
        )
    frame = None if len(truth) == len(run.frames) > 1 else (recording.mask_frame or 0)
    if frame is not None and frame >= len(run.frames):
        raise InputError(f"{recording.mask.name}: belongs to frame {frame}, but the run ends at {len(run.frames) - 1}.")
    return Material(run, truth, frame)


def read_raw(paths: Sequence[Path]) -> RawFrames:
    """Read the frames of a file, or of the images of a sequence, as the detector or camera wrote them.

    Parameters
    ----------
    paths
        One DICOM, npz (key ``frames``; ``frame_s`` or ``frame_time_ms`` if known), video, or TIFF of several pages; or
        the images of a sequence in order.

    Raises
    ------
    InputError
        When one cannot be read, or images of a sequence differ in size.
    """
    first = paths[0]
    suffix = first.suffix.lower()
    if suffix in IMAGES:
        return _read_sequence(paths)
    if suffix == ".npz":
        return _read_npz(first)
    if suffix in VIDEOS:
        frames, rate = read_frames(first)
        return RawFrames(frames, _GREY_BYTES, np.arange(len(frames)) / rate if rate else None)
    return RawFrames(**vars(read_xray(first)))


def _read_sequence(paths: Sequence[Path]) -> RawFrames:
    frames, scales = [], set()
    for path in paths:
        pages = read_pages(path)
        if (pages.values != pages.values[..., :1]).any():
            raise InputError(f"{path.name}: is coloured, which no X-ray frame is. Export it without colours.")
        frames.append(pages.values[..., 0])
        scales.add(pages.full_scale)
    shapes = {frame.shape[1:] for frame in frames}
    if len(shapes) > 1 or len(scales) > 1:
        raise InputError(
            f"{paths[0].parent.name}: the images of one run differ in size or depth ({sorted(shapes)}). Put each run "
            "into a folder of its own."
        )
    return RawFrames(np.concatenate(frames), scales.pop())


def _read_npz(path: Path) -> RawFrames:
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name}: is not an npz file without pickles. Write it by numpy.savez.") from error
    frames = arrays.get("frames")
    if frames is None or frames.ndim != _FRAMES_AXES:
        raise InputError(f"{path.name}: needs an array `frames` of shape (time, height, width).")
    times = arrays.get("frame_s")
    if times is None and "frame_time_ms" in arrays:
        times = np.arange(len(frames)) * float(arrays["frame_time_ms"]) / 1000
    if np.issubdtype(frames.dtype, np.unsignedinteger):
        scale = float(np.iinfo(frames.dtype).max) if "full_scale" not in arrays else float(arrays["full_scale"])
    else:
        scale = float(arrays.get("full_scale", np.array(1.0)))
    return RawFrames(frames, scale, times)


def run_of(name: str, paths: Sequence[Path], data: Data) -> XrayRun:
    """Read a recording as a run in attenuation."""
    raw = read_raw(paths)
    is_log = raw.is_log if data.scale == "auto" else data.scale == "log"
    times = raw.frame_s
    if times is None and data.frame_s is not None:
        times = np.arange(len(raw.frames), dtype=np.float64) * data.frame_s
    run = xray_run(
        name,
        raw.frames,
        raw.full_scale,
        is_log=is_log,
        shutter=raw.shutter,
        frame_s=times,
        pixel_mm=raw.pixel_mm,
    )
    lacking = () if times is not None or len(run.frames) == 1 else ("No frame times: arrival is told in frames.",)
    return replace(run, notes=(*raw.notes, *run.notes, *lacking))


def _read_mask(path: Path, run: XrayRun) -> BoolArray:
    pages = read_pages(path)
    mask = pages.values.max(-1) > 0.5 * float(pages.values.max() or 1)
    if mask.shape[1:] != run.field.shape:
        raise ShapeError.mismatch(f"{path.name} (mask of {run.name})", "mask", run.field.shape, mask.shape[1:])
    if len(mask) not in {1, len(run.frames)}:
        raise InputError(
            f"{path.name}: holds {len(mask)} masks for a run of {len(run.frames)} frames. Give one, or all."
        )
    return np.asarray(mask)


def _simulated(recording: Recording, config: Config) -> Material:
    own = config.phantom
    number = int(recording.name.rpartition("-")[2])
    settings = RunSettings(shape=(own.side, own.side), n_frames=own.n_frames, photons=own.photons)
    planted = simulate_run(settings, seed=derive_seed(own.seed, "phantom", number))
    run = XrayRun(
        recording.name,
        planted.frames,
        planted.field,
        planted.frame_s,
        notes=(planted.description,),
        levels=planted.full_scale,
    )
    return Material(run, planted.mask, None, planted)
