"""Frames with vessels put into them, and where: what a network learns to find vessels from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from kotowari.core.seeds import derive_seed
from kotowari.studies.angiography.model.enhancer_backgrounds import Background
from kotowari.studies.angiography.model.enhancer_trees import TreeLaw, draw_trees

__all__ = ["ImplantLessons"]

Number = TypeVar("Number", bound=np.generic)
Picture = npt.NDArray[np.float32]

_LEAST_CONTRAST, _MOST_CONTRAST = 0.25, 1.2
_NOISE = (0.1, 2.5)
_SMOOTH_SHARE = 0.5
_MOTION = 2.0
_MOST_KEPT = 64


@dataclass(eq=False)
class ImplantLessons:
    """Vessels in backgrounds; row by row from the seed, computed when asked for, never held.

    Each row draws an owner, one of its moments, a crop, a turn or mirror image, trees as strong as 0.25 to 1.2 times
    what the recording shows itself, and noise of 0.1 to 2.5 times the recording's own, white or smooth. Most moments
    are freed of their own vessels; of the others those pixels do not count.

    Parameters
    ----------
    backgrounds
        Of all recordings.
    law
        How trees are drawn, with lengths in pixels; its attenuation is replaced.
    n_rows
        Number of rows, 1 or more.
    side
        Side of a crop in pixels, at most the shortest side of a background.
    raw_share
        Share of rows whose moments keep their own vessels, 0 to 1.
    seed
        Of all draws.
    """

    backgrounds: Sequence[Background]
    law: TreeLaw
    n_rows: int
    side: int
    raw_share: float
    seed: int
    _drawn: dict[int, tuple[Picture, Picture]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        names = sorted({background.group for background in self.backgrounds})
        self._owners = [[one for one in self.backgrounds if one.group == name] for name in names]

    @property
    def inputs(self) -> "_Column":
        """Samples ``(n_frames + 1, side, side)``: attenuation of recent frames, and the field."""
        return _Column(self, 0)

    @property
    def targets(self) -> "_Column":
        """Samples ``(2, side, side)``: truth, and 1 where it is certain, else 0."""
        return _Column(self, 1)

    def row(self, number: int) -> tuple[Picture, Picture]:
        """Return input and target of one row."""
        if number not in self._drawn:
            # a batch is asked for twice, as inputs and as targets; no need to keep more
            if len(self._drawn) >= _MOST_KEPT:
                self._drawn.clear()
            self._drawn[number] = self._composed(np.random.default_rng(derive_seed(self.seed, "row", number)))
        return self._drawn[number]

    def _composed(self, rng: np.random.Generator) -> tuple[Picture, Picture]:
        owner = self._owners[int(rng.integers(len(self._owners)))]
        moment = owner[int(rng.integers(len(owner)))]
        raw = rng.uniform() < self.raw_share
        frames = moment.frames if raw else moment.empty
        doubt = moment.doubt if raw else np.zeros_like(moment.doubt)
        cut = self._cutter(rng, moment.field.shape)
        frames, inside, doubt = cut(frames), cut(moment.field), cut(doubt)
        law = replace(self.law, attenuation=(_LEAST_CONTRAST * moment.strength, _MOST_CONTRAST * moment.strength))
        trees = draw_trees(inside.shape, law, rng)
        implanted = frames + _moved(trees.attenuation, len(frames), rng) + _noise(frames, inside, rng)
        certain = inside & ~(doubt & ~trees.mask)
        return (
            np.concatenate([implanted, inside[None]]).astype(np.float32),
            np.stack([trees.mask, certain]).astype(np.float32),
        )

    def _cutter(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> Callable[[npt.NDArray[Number]], npt.NDArray[Number]]:
        """Return what takes one crop of a picture, turned and mirrored; the same of every picture."""
        top, left = (int(rng.integers(length - self.side + 1)) for length in shape)
        turns, mirrored = int(rng.integers(4)), rng.uniform() < 0.5

        def cut(picture: npt.NDArray[Number]) -> npt.NDArray[Number]:
            crop = np.rot90(picture[..., top : top + self.side, left : left + self.side], turns, (-2, -1))
            return np.ascontiguousarray(crop[..., ::-1] if mirrored else crop)

        return cut


@dataclass(frozen=True)
class _Column:
    """One half of the rows, as the training loop asks for it."""

    lessons: ImplantLessons
    which: int

    @property
    def shape(self) -> Sequence[int]:
        """``(row, channel, side, side)``."""
        return (len(self), *self.lessons.row(0)[self.which].shape)

    def __len__(self) -> int:
        return self.lessons.n_rows

    def __getitem__(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(np.stack([self.lessons.row(int(number))[self.which] for number in rows]))


def _moved(attenuation: Picture, n_frames: int, rng: np.random.Generator) -> Picture:
    """Return a tree that drifts, at its place in the last frame; shape ``(n_frames, height, width)``."""
    velocity = rng.uniform(-_MOTION, _MOTION, 2)
    moved = [ndimage.shift(attenuation, velocity * age, order=1) for age in range(n_frames - 1, 0, -1)]
    return np.stack([*moved, attenuation])


def _noise(frames: Picture, inside: npt.NDArray[np.bool_], rng: np.random.Generator) -> Picture:
    grain = (frames[-1] - ndimage.gaussian_filter(frames[-1], 1.0))[inside]
    size = (float(grain.std()) if grain.size else 0.0) * np.exp(rng.uniform(*np.log(_NOISE)))
    noise = rng.standard_normal(frames.shape)
    if rng.uniform() < _SMOOTH_SHARE:
        width = rng.uniform(0.4, 1.0)
        # smoothing white noise by a Gaussian divides its spread by 2 sqrt(pi) widths
        noise = ndimage.gaussian_filter(noise, (0, width, width)) * max(1.0, 2 * np.sqrt(np.pi) * width)
    return np.asarray(size * noise, np.float32)
