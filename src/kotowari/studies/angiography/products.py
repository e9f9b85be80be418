"""What a user takes away of each recording: maps, background, pictures, centrelines, arrival, DICOM and video."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from skimage.transform import resize

from kotowari.core.files import write_bytes
from kotowari.core.jobs import Arrays, pack_arrays
from kotowari.core.page import write_table
from kotowari.formats.png import write_png
from kotowari.formats.video import write_mp4
from kotowari.formats.xray_write import write_xray
from kotowari.studies.angiography.arrival import contrast_arrival, find_device, maximum_contrast
from kotowari.studies.angiography.attenuation import XrayRun
from kotowari.studies.angiography.beds import contrast_free
from kotowari.studies.angiography.centrelines import Centrelines, draw_centrelines, find_centrelines
from kotowari.studies.angiography.config import Config
from kotowari.studies.angiography.layers import Layers, shown_to
from kotowari.studies.angiography.model.enhancer import VesselEnhancer
from kotowari.studies.angiography.threshold import VesselThreshold

__all__ = ["Products", "make_products", "write_products"]

FloatFrames = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_SHOWN_SIDE = 256
_DEEP = 65535
_FALLBACK_RATE = 15.0
_FEWEST_TIMED = 5


@dataclass(frozen=True, eq=False)
class Products:
    """What is found in one recording, before it is written.

    Parameters
    ----------
    run
        The recording.
    maps
        Of the network, shape ``(time, height, width)``, 0 to 1.
    found
        What is called vessel, same shape; a device is not taken out.
    layers
        Background and vessels of a run; None for single frames.
    free
        Frames without contrast.
    """

    run: XrayRun
    maps: FloatFrames
    found: BoolArray
    layers: Layers | None
    free: BoolArray

    @property
    def vessel(self) -> FloatFrames:
        """The vessel layer in attenuation, or the maps where there is no run to take a layer from."""
        return self.maps if self.layers is None else self.layers.vessel

    @cached_property
    def fullest(self) -> int:
        """The frame that shows most vessel."""
        return int(self.maps[:, self.run.field].mean(1).argmax())

    @cached_property
    def device(self) -> BoolArray:
        """What was called vessel before contrast came: catheter, wire, clip."""
        return find_device(self.found, self.free)

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Seconds of the frames; their numbers where no times are known."""
        n = len(self.run.frames)
        return np.arange(n, dtype=np.float64) if self.run.frame_s is None else self.run.frame_s

    def centrelines(self) -> Centrelines:
        """Return branches in the frame that shows most vessel."""
        k = self.fullest
        return find_centrelines(self.found[k] & ~self.device, self.maps[k], pixel_mm=self.run.pixel_mm)

    def arrival(self) -> npt.NDArray[np.float32] | None:
        """Return when contrast comes to each pixel that is ever called vessel; None for single frames."""
        if self.layers is None or len(self.run.frames) < _FEWEST_TIMED:
            return None
        timed = contrast_arrival(self.vessel, self.times, self.run.field, before=self.free)
        return np.where(self.found.any(0) & ~self.device, timed.arrival_s, np.nan).astype(np.float32)


def make_products(run: XrayRun, network: VesselEnhancer, layers: Layers | None, config: Config) -> Products:
    """Run the network over a recording."""
    maps = network.enhance(shown_to(network, run.frames, layers), run.field)
    cut = float(network.threshold_)
    found = VesselThreshold(cut, cut, "").mask(maps, run.field)
    return Products(run, maps, found, layers, contrast_free(run, config))


def write_products(products: Products, folder: Path, tables: Path, config: Config) -> Arrays:
    """Write all files of a recording, and return what its pictures in the report are drawn from.

    ``<name>-vessels.dcm`` (the vessel layer, 16 bits), ``<name>.mp4``, ``<name>-maximum.png``, ``<name>-mask.png``,
    ``<name>-centrelines.png``; for runs ``<name>-background.npz`` (``time`` and ``space``, whose product the background
    is) and ``<name>-arrival.npz`` (``arrival_s``, NaN where none); ``<name>-branches.csv`` and ``<name>-nodes.csv`` in
    ``tables``.
    """
    run, name = products.run, products.run.name
    lines = products.centrelines()
    maximum = maximum_contrast(products.vessel, run.field)
    write_png(folder / f"{name}-maximum.png", _grey(maximum))
    write_png(folder / f"{name}-mask.png", 255 * products.found[products.fullest].astype(np.uint8))
    write_png(folder / f"{name}-centrelines.png", draw_centrelines(run.frames[products.fullest], lines))
    arrival = products.arrival()
    if products.layers is not None:
        parts = {"time": products.layers.time, "space": products.layers.space}
        write_bytes(folder / f"{name}-background.npz", pack_arrays(parts))
    if arrival is not None:
        write_bytes(folder / f"{name}-arrival.npz", pack_arrays({"arrival_s": arrival}))
    branches = _with_arrival(lines, arrival)
    write_table(tables / f"{name}-branches.csv", branches)
    write_table(tables / f"{name}-nodes.csv", lines.nodes)
    if config.output.dicom:
        scale = float(products.vessel.max()) or 1.0
        deep = np.clip(products.vessel / scale * _DEEP, 0, _DEEP).astype(np.uint16)
        write_xray(
            folder / f"{name}-vessels.dcm",
            deep,
            frame_s=run.frame_s,
            pixel_mm=run.pixel_mm,
            description=f"kotowari vessel layer; attenuation = value x {scale / _DEEP:.6g}",
        )
    if config.output.video and len(run.frames) > 1:
        write_mp4(folder / f"{name}.mp4", _side_by_side(products), _rate(products, config))
    if config.output.frames:
        for k, frame in enumerate(products.maps):
            write_png(folder / f"{name}-map-{k:04d}.png", _grey(frame, 1.0))
    return _shown(products, maximum, arrival, branches)


def _with_arrival(lines: Centrelines, arrival: npt.NDArray[np.float32] | None) -> pd.DataFrame:
    """Add the time at both ends of each branch to the table."""
    table = lines.branches.copy()
    for end in ("start", "end"):
        rows, columns = (table[f"{axis}_{end}"].to_numpy(np.float64) for axis in ("row", "column"))
        inside = np.isfinite(rows) & np.isfinite(columns)
        times = np.full(len(table), np.nan)
        if arrival is not None and inside.any():
            times[inside] = arrival[rows[inside].round().astype(int), columns[inside].round().astype(int)]
        table[f"arrival_{end}"] = times
    return table


def _side_by_side(products: Products) -> npt.NDArray[np.uint8]:
    frames = products.run.frames
    low, high = np.percentile(frames[:, products.run.field], [0.5, 99.5])
    parts = [_grey(high - frames, float(high - low) or 1.0)]
    if products.layers is not None:
        parts.append(255 - _grey(products.vessel, float(np.percentile(products.vessel, 99.9)) or 1.0))
    parts.append(_grey(products.maps, 1.0))
    return np.concatenate(parts, axis=2)


def _rate(products: Products, config: Config) -> float:
    if config.output.rate is not None:
        return config.output.rate
    times = products.run.frame_s
    return _FALLBACK_RATE if times is None else float(1 / np.diff(times).mean())


def _grey(values: npt.NDArray[np.floating], top: float | None = None) -> npt.NDArray[np.uint8]:
    """Return bytes from 0 at 0 to 255 at ``top``, or at the largest value."""
    largest = float(values.max()) if top is None else top
    grey: npt.NDArray[np.uint8] = np.clip(values * (255.0 / (largest or 1.0)), 0, 255).round().astype(np.uint8)
    return grey


def _shown(
    products: Products,
    maximum: npt.NDArray[np.float32],
    arrival: npt.NDArray[np.float32] | None,
    branches: pd.DataFrame,
) -> Arrays:
    k, run = products.fullest, products.run
    pictures = {"frame": run.frames[k], "layer": products.vessel[k], "map": products.maps[k], "maximum": maximum}
    if products.layers is not None:
        pictures["background"] = products.layers.background_frame(k)
    told: Arrays = {name: _small(picture) for name, picture in pictures.items()}
    told["field"] = _small(run.field.astype(np.float32)) > 0.5
    told["device"] = _small(products.device.astype(np.float32)) > 0.5
    if arrival is not None:
        told["arrival"] = _small(np.nan_to_num(arrival, nan=-1.0), order=0)
    told["course"] = np.array([products.maps[t][run.field].mean() for t in range(len(run.frames))])
    told["share"] = products.found[:, run.field].mean(1)
    told["times"], told["free"], told["fullest"] = products.times, products.free, np.array(k)
    told["n_branches"] = np.array(len(branches))
    told["length_px"] = np.array(float(branches["length_px"].sum()))
    return told


def _small(picture: npt.NDArray[np.floating], order: int = 1) -> npt.NDArray[np.float32]:
    """Return a picture no larger than the report shows it."""
    scale = _SHOWN_SIDE / max(picture.shape)
    if scale >= 1:
        return picture.astype(np.float32)
    shape: Sequence[int] = [max(1, round(side * scale)) for side in picture.shape]
    return np.asarray(resize(picture, shape, order=order, anti_aliasing=order > 0), np.float32)
