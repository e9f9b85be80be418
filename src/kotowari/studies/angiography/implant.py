"""Vessels put into real X-ray pictures that hold none, so that the truth is known over a real background."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from kotowari.core.errors import InputError, ShapeError
from kotowari.studies.angiography.continuation import Continuation
from kotowari.studies.angiography.contrast_free import find_contrast_free
from kotowari.studies.angiography.implant_noise import NoiseCurve, estimate_noise
from kotowari.studies.angiography.phantom import VISIBLE_SHARE, first_seen
from kotowari.studies.angiography.phantom_contrast import ContrastCourse
from kotowari.studies.angiography.phantom_motion import BodyMotion, draw_motion
from kotowari.studies.angiography.vessel_rendering import draw_tubes, fork_reach
from kotowari.studies.angiography.vessel_tree import TreeKind, VesselTree, grow_tree, typical_root_radius

__all__ = ["PlantedVessels", "VesselImplant", "find_contrast_free", "implant_frame"]

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
FloatFrames = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

_TOUCHED = 1e-4
_BLUR_PX = 0.6


@dataclass(frozen=True, eq=False)
class PlantedVessels:
    """What was put into real frames.

    Attributes
    ----------
    vessel
        Attenuation put in, before noise, float32, shape ``(time, height, width)``.
    mask
        Same shape: pixels whose centre lies in a vessel filled to a fifth or more, inside the field.
    arrival_s
        Shape ``(height, width)``, float32: time of the first frame in which ``mask`` holds the pixel; NaN where never.
    radius
        Shape ``(height, width)``, float32: of the vessel at rest, in pixels.
    frame_s
        Shape ``(time,)``, in s.
    tree
        Centrelines at rest.
    """

    vessel: FloatFrames
    mask: BoolImage
    arrival_s: FloatImage
    radius: FloatImage
    frame_s: FloatArray
    tree: VesselTree


@dataclass(frozen=True, eq=False)
class VesselImplant:
    r"""Graded vessels in the contrast-free frames of a real run, as :func:`kotowari.trust.run_implants` plants them.

    .. math:: Y'_t = Q\big(Y_t + a_t + n_t\big), \quad a_t = -\log B e^{-v_t}, \quad
        \mathrm{var}\, n_t = \sigma^2(Y_t + a_t) - \sigma^2(Y_t)

    with the attenuation v of a beating tree that fills and empties, the blur B of a detector, the noise that a darker
    pixel has more of, and the rounding Q to grey levels. Few frames are continued forth and back in time with new
    noise. It answers how much contrast a vessel needs to be found over this very background; the catheter of the run
    does not lead into the planted tree.

    Parameters
    ----------
    frames
        Shape ``(time, height, width)``, contrast-free: log attenuation (vessels bright). Left as they were.
    field
        Shape ``(height, width)``, True inside the field of view; None for everything.
    n_frames
        Length of the run that is made, 1 or more.
    frame_s
        Seconds from frame to frame, above 0.
    full_scale
        Largest grey level of the run, for the rounding; None for no rounding.
    kind, root_radius, tortuosity
        Of the tree; see :func:`kotowari.studies.angiography.vessel_tree.grow_tree`.
    heart_px, heart_hz
        Motion of the tree, in pixels (None for 2.5 % of the shorter side) and beats a second.

    Raises
    ------
    ShapeError, InputError
        When an array does not fit or an option is out of range.
    """

    frames: FloatFrames
    field: BoolImage | None = None
    n_frames: int = 60
    frame_s: float = 1 / 15
    full_scale: int | None = 255
    kind: TreeKind = "any"
    root_radius: float | None = None
    tortuosity: float = 1.0
    heart_px: float | None = None
    heart_hz: float = 1.2

    def __post_init__(self) -> None:
        if self.frames.ndim != 3 or not len(self.frames):
            raise ShapeError.mismatch("VesselImplant", "frames", ("time", "height", "width"), self.frames.shape)
        if self.field is not None and self.field.shape != self.frames.shape[1:]:
            raise ShapeError.mismatch("VesselImplant", "field", self.frames.shape[1:], self.field.shape)
        if not np.isfinite(self.frames).all():
            raise InputError("VesselImplant: some pixels are not finite. Replace NaN and infinity first.")
        if self.n_frames < 1 or not self.frame_s > 0:
            raise InputError(
                f"VesselImplant: needs n_frames >= 1 and frame_s > 0, got {self.n_frames} and {self.frame_s}."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.frames.shape[1], self.frames.shape[2]

    @cached_property
    def noise(self) -> NoiseCurve:
        """Noise of the real frames by attenuation."""
        return estimate_noise(self.frames, self.field)

    @cached_property
    def continuation(self) -> Continuation:
        """The real frames, ready to be continued in time."""
        return Continuation(self.frames, self.noise)

    def __call__(self, grade: float, rng: np.random.Generator) -> tuple[FloatFrames, PlantedVessels]:
        """Return frames with vessels, log attenuation, shape ``(n_frames, height, width)``, and what was planted.

        Parameters
        ----------
        grade
            Attenuation of the thickest vessel through its middle, 0 to 3; 0 plants nothing at the same places.
        rng
            One state of it gives the same tree, motion and background at every grade.
        """
        if not 0 <= grade <= 3:
            raise InputError(f"VesselImplant: grade must lie between 0 and 3, got {grade}.")
        anatomy, replay, photons = rng.spawn(3)
        times = self.frame_s * np.arange(self.n_frames, dtype=np.float64)
        tree = grow_tree(self.shape, anatomy, kind=self.kind, root_radius=self.root_radius, tortuosity=self.tortuosity)
        side = min(self.shape)
        motion = draw_motion(
            self.shape,
            times,
            anatomy,
            heart_px=0.025 * side if self.heart_px is None else self.heart_px,
            heart_hz=self.heart_hz,
            breath_px=0.0,
            breath_hz=0.25,
        )
        planted = self._planted(tree, motion, grade, times)
        frames = self.continuation.play(self.n_frames, replay)
        for number in range(self.n_frames):
            frames[number] = _absorbed(frames[number], planted.vessel[number], self.noise, self.full_scale, photons)
        return frames, planted

    def _planted(self, tree: VesselTree, motion: BodyMotion, grade: float, times: FloatArray) -> PlantedVessels:
        length = self.frame_s * self.n_frames
        contrast = ContrastCourse(
            begin_s=0.1 * length,
            speed=float(tree.path.max()) / (0.4 * length),
            rise_s=max(0.06 * length, self.frame_s),
            plateau_s=0.5 * length,
            washout_s=0.2 * length,
        )
        inside = np.ones(self.shape, dtype=np.bool_) if self.field is None else self.field
        vessel = np.zeros((self.n_frames, *self.shape), dtype=np.float32)
        mask = np.zeros(vessel.shape, dtype=np.bool_)
        for number, time in enumerate(times):
            share = contrast.concentration(tree.path, float(time))
            points = motion.displaced(tree.points, number)
            vessel[number], mask[number] = _drawn(tree, points, share, grade, self.shape)
        vessel *= inside
        mask &= inside
        empty = np.zeros(len(tree.radius))
        radius = draw_tubes(
            tree.points, tree.radius, empty, tree.branch, fork_reach(tree), shape=self.shape, least_dose=np.inf
        )[2]
        return PlantedVessels(vessel, mask, first_seen(mask, times), radius, times, tree)


def implant_frame(
    background_frame: FloatImage,
    seed: int,
    *,
    attenuation: float | tuple[float, float] = (0.1, 0.6),
    kind: TreeKind = "any",
    root_radius: float | None = None,
    field: BoolImage | None = None,
    noise: NoiseCurve | None = None,
    full_scale: int | None = 255,
) -> tuple[FloatImage, FloatImage, BoolImage]:
    """Put one tree of vessels into one real picture; as :class:`VesselImplant` does, without time.

    The tree is turned over at random and filled up to a front that may lie anywhere from its first third to beyond its
    ends.

    Parameters
    ----------
    background_frame
        Shape ``(height, width)``, 32 pixels a side or more, log attenuation; left as it was.
    seed
        0 or more; each gives another tree.
    attenuation
        Of the thickest vessel through its middle, 0 to 3; of two numbers one in between is drawn, evenly by logarithm.
    kind
        Of the tree.
    root_radius
        In pixels; None draws 0.7 to 1.3 times what a picture of this size shows.
    field
        Shape ``(height, width)``: nothing is put outside; None for everywhere.
    noise
        Of the picture; None estimates it from the picture itself.
    full_scale
        Largest grey level, for the rounding of pixels that were changed; None for no rounding.

    Returns
    -------
    frame, vessel, mask
        The picture with vessels and the attenuation put in, float32; and the pixels in a vessel filled to a fifth or
        more, bool.

    Raises
    ------
    ShapeError, InputError
        When an array does not fit or an option is out of range.
    """
    if background_frame.ndim != 2 or (field is not None and field.shape != background_frame.shape):
        raise ShapeError.mismatch("implant_frame", "background_frame", ("height", "width"), background_frame.shape)
    shape = (background_frame.shape[0], background_frame.shape[1])
    low, high = (attenuation, attenuation) if isinstance(attenuation, int | float) else attenuation
    if not 0 <= low <= high <= 3:
        raise InputError(f"implant_frame: attenuation must rise from 0 to 3 at most, got {attenuation}.")
    rng = np.random.default_rng(seed)
    thick = root_radius or typical_root_radius(shape) * rng.uniform(0.7, 1.3)
    grade = float(np.exp(rng.uniform(np.log(low), np.log(high)))) if low > 0 else high * rng.random()
    tree = grow_tree(shape, rng, kind=kind, root_radius=thick)
    points = np.where(rng.random(2) < 0.5, tree.points, np.array(shape) - 1 - tree.points)
    front = rng.uniform(0.35, 1.6) * float(tree.path.max())
    share = np.clip((front - tree.path) / (0.15 * front), 0, 1)
    vessel, mask = _drawn(tree, points, share, grade, shape)
    if field is not None:
        vessel, mask = vessel * field, mask & field
    curve = noise or estimate_noise(background_frame, field)
    return _absorbed(background_frame, vessel, curve, full_scale, rng), vessel, mask


def _drawn(
    tree: VesselTree, points: FloatArray, share: FloatArray, grade: float, shape: tuple[int, int]
) -> tuple[FloatImage, BoolImage]:
    """Return the blurred attenuation of a tree filled to ``share`` at every point, and its mask."""
    # drawn at a peak of 1, so that the mask is the same at every grade
    per_px = 1 / (2 * tree.root_radius)
    drawn, mask, _ = draw_tubes(
        points,
        tree.radius,
        per_px * share,
        tree.branch,
        fork_reach(tree),
        shape=shape,
        least_dose=VISIBLE_SHARE * per_px,
    )
    light = gaussian_filter(np.exp(-np.float32(grade) * drawn), _BLUR_PX)
    return np.maximum(-np.log(light), 0), mask


def _absorbed(
    frame: FloatImage, vessel: FloatImage, noise: NoiseCurve, full_scale: int | None, rng: np.random.Generator
) -> FloatImage:
    """Return the picture with more attenuation, the noise that goes with it, and grey levels that are whole."""
    out = frame.astype(np.float32)
    touched = vessel > _TOUCHED
    before, more = out[touched], vessel[touched]
    after = before + more + noise.added(before, more, rng)
    if full_scale is not None:
        grey = np.rint(np.clip((full_scale + 1) * np.exp(-after) - 1, 0, full_scale))
        after = np.log1p(np.float32(full_scale)) - np.log1p(grey)
    out[touched] = after
    return out
