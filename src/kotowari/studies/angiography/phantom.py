"""Simulated X-ray runs of which it is known where the vessels are, when contrast comes, and what else moves."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kotowari.core.seeds import derive_seed
from kotowari.studies.angiography.attenuation import to_attenuation
from kotowari.studies.angiography.phantom_background import draw_parts, iter_backgrounds
from kotowari.studies.angiography.phantom_contrast import ContrastCourse
from kotowari.studies.angiography.phantom_detector import detected, round_shutter
from kotowari.studies.angiography.phantom_device import Device, draw_device
from kotowari.studies.angiography.phantom_motion import BodyMotion, draw_motion
from kotowari.studies.angiography.phantom_settings import RunSettings
from kotowari.studies.angiography.vessel_rendering import draw_tubes, fork_reach
from kotowari.studies.angiography.vessel_tree import VesselTree, grow_tree

__all__ = ["VISIBLE_SHARE", "RunPhantom", "first_seen", "simulate_run"]

FloatArray = npt.NDArray[np.float64]
FloatFrames = npt.NDArray[np.float32]
BoolFrames = npt.NDArray[np.bool_]

VISIBLE_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class RunPhantom:
    """A simulated run beside everything that it was made of.

    Attributes
    ----------
    intensity
        Grey levels, uint8 (8 bits) or uint16, shape ``(time, height, width)``, bright where much light came.
    full_scale
        Largest grey level of the format.
    frames
        The same as log attenuation, float32: what an enhancer is given.
    vessel
        Attenuation by contrast in the vessels, float32, shape ``(time, height, width)``, 0 or more; without scatter,
        blur and noise.
    background
        Attenuation by everything else but the device, likewise.
    mask
        Same shape: pixels whose centre lies in a vessel filled to a fifth or more.
    device
        Same shape: pixels in the catheter or a wire.
    arrival_s
        Shape ``(height, width)``, float32: time of the first frame in which ``mask`` holds the pixel; NaN where never.
    radius
        Shape ``(height, width)``, float32: of the vessel at rest, in pixels, filled or not; 0 outside.
    field
        Shape ``(height, width)``: True inside the shutter.
    frame_s
        Shape ``(time,)``: time of each frame in s.
    tree, motion, contrast
        Centrelines at rest, and what moves and fills them.
    settings, seed, description
        How it was made; the last in a sentence.
    """

    intensity: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    full_scale: int
    frames: FloatFrames
    vessel: FloatFrames
    background: FloatFrames
    mask: BoolFrames
    device: BoolFrames
    arrival_s: npt.NDArray[np.float32]
    radius: npt.NDArray[np.float32]
    field: BoolFrames
    frame_s: FloatArray
    tree: VesselTree
    motion: BodyMotion
    contrast: ContrastCourse
    settings: RunSettings
    seed: int
    description: str

    def centreline(self, frame: int) -> FloatArray:
        """Return the points of the centreline that are filled in a frame, shape ``(point, 2)``: row and column."""
        filled = self.contrast.concentration(self.tree.path, float(self.frame_s[frame])) >= VISIBLE_SHARE
        return self.motion.displaced(self.tree.points, frame)[filled]


def simulate_run(settings: RunSettings | None = None, seed: int = 0) -> RunPhantom:
    r"""Simulate a contrast run: a beating coronary tree that fills and empties over a moving chest.

    .. math:: I_t = \mathrm{detector}\big(e^{-(b_t + d_t + v_t)}\big), \quad
        v_t(x) = \mu\, c(s, t)\, \ell_t(x)

    with the background b of eight moving parts, the device d, and the way :math:`\ell` through the tubes of the tree,
    drawn anew from the displaced centrelines in every frame. The root of the tree has the attenuation of the settings
    through its middle when filled, so thin branches have less by the ratio of radii. ``vessel`` is what was added
    before scatter and blur: what can be recovered of it is up to 1 - ``scatter`` of it.

    Parameters
    ----------
    settings
        None takes the defaults.
    seed
        0 or more; each seed is another patient. With all else equal, a seed has the same tree, background and motion
        at every attenuation, photon number and bit depth.

    Raises
    ------
    InputError
        When a setting is out of range.

    Held against life by :func:`kotowari.studies.angiography.phantom_lock.phantom_lock`: at the defaults 12 of the seeds
    0 to 11 are locked (best simple method 0.57 to 0.78, better single-frame filter 0.26 to 0.51), of 40 frames 5 of the
    seeds 0 to 5.
    """
    chosen = settings or RunSettings()
    shape, root = chosen.shape, derive_seed(seed, "angiography phantom")
    times = chosen.frame_s * np.arange(chosen.n_frames, dtype=np.float64)
    tree = grow_tree(
        shape,
        np.random.default_rng([root, 0]),
        kind=chosen.kind,
        root_radius=chosen.root_radius,
        tortuosity=chosen.tortuosity,
    )
    motion = draw_motion(
        shape,
        times,
        np.random.default_rng([root, 1]),
        heart_px=chosen.largest_heart_px,
        heart_hz=chosen.heart_hz,
        breath_px=chosen.largest_breath_px,
        breath_hz=chosen.breath_hz,
    )
    contrast = _contrast(chosen, tree)
    device = draw_device(tree, shape, chosen.device_attenuation, np.random.default_rng([root, 2]))
    parts = draw_parts(shape, motion, chosen.clutter, np.random.default_rng([root, 3]))
    background = np.stack(list(iter_backgrounds(parts, shape)))
    vessel, mask, radius = _vessels(tree, motion, contrast, chosen, times)
    shade, device_mask = _devices(device, tree, motion, chosen)
    field = round_shutter(shape) if chosen.shutter else np.ones(shape, dtype=np.bool_)
    full_scale = 2**chosen.bits - 1
    noise = np.random.default_rng([root, 4])
    intensity = np.empty(vessel.shape, dtype=np.uint8 if full_scale <= 255 else np.uint16)
    for number, shaded in enumerate(shade):
        intensity[number] = detected(
            background[number] + shaded + vessel[number],
            field,
            noise,
            photons=chosen.photons,
            blur_px=chosen.blur_px,
            scatter=chosen.scatter,
            full_scale=full_scale,
        )
    return RunPhantom(
        intensity=intensity,
        full_scale=full_scale,
        frames=to_attenuation(intensity, full_scale),
        vessel=vessel,
        background=background,
        mask=mask,
        device=device_mask,
        arrival_s=first_seen(mask, times),
        radius=radius,
        field=field,
        frame_s=times,
        tree=tree,
        motion=motion,
        contrast=contrast,
        settings=chosen,
        seed=seed,
        description=(
            f"Simulated {chosen.n_frames} frames of {shape[0]} x {shape[1]} pixels, {chosen.photons:g} photons a "
            f"pixel, largest vessel attenuation {chosen.attenuation:g}, seed {seed}."
        ),
    )


def first_seen(mask: BoolFrames, times: FloatArray) -> npt.NDArray[np.float32]:
    """Return the time of the first frame in which each pixel is True, NaN where never, float32.

    Parameters
    ----------
    mask
        Shape ``(time, height, width)``.
    times
        Shape ``(time,)``, in s.
    """
    seen = times[np.argmax(mask, axis=0)]
    return np.where(mask.any(0), seen, np.nan).astype(np.float32)


def _contrast(settings: RunSettings, tree: VesselTree) -> ContrastCourse:
    length = settings.frame_s * settings.n_frames
    wanted = float(tree.path.max()) / ((settings.filled - settings.begin) * length)
    return ContrastCourse(
        begin_s=settings.begin * length,
        speed=settings.front_speed or wanted,
        rise_s=max(0.06 * length, settings.frame_s),
        plateau_s=(settings.emptied - settings.begin) * length,
        washout_s=0.2 * length,
    )


def _vessels(
    tree: VesselTree, motion: BodyMotion, contrast: ContrastCourse, settings: RunSettings, times: FloatArray
) -> tuple[FloatFrames, BoolFrames, npt.NDArray[np.float32]]:
    """Return attenuation and mask of every frame, and the radii at rest."""
    reach, shape = fork_reach(tree), settings.shape
    mu = settings.attenuation / (2 * tree.root_radius)
    least = VISIBLE_SHARE * mu if mu > 0 else np.inf
    vessel = np.zeros((len(times), *shape), dtype=np.float32)
    mask = np.zeros(vessel.shape, dtype=np.bool_)
    for number, time in enumerate(times):
        dose = mu * contrast.concentration(tree.path, float(time))
        if dose.any():
            points = motion.displaced(tree.points, number)
            vessel[number], mask[number], _ = draw_tubes(
                points, tree.radius, dose, tree.branch, reach, shape=shape, least_dose=least
            )
    empty = np.zeros(len(tree.radius))
    radius = draw_tubes(tree.points, tree.radius, empty, tree.branch, reach, shape=shape, least_dose=np.inf)[2]
    return vessel, mask, radius


def _devices(
    device: Device, tree: VesselTree, motion: BodyMotion, settings: RunSettings
) -> tuple[FloatFrames, BoolFrames]:
    """Return attenuation and mask of catheter and wires in every frame; nothing where they absorb nothing."""
    shade = np.zeros((settings.n_frames, *settings.shape), dtype=np.float32)
    mask = np.zeros(shade.shape, dtype=np.bool_)
    if settings.device_attenuation > 0:
        ostium = tree.points[:1]
        for number in range(settings.n_frames):
            shift = (motion.displaced(ostium, number) - ostium)[0]
            shade[number], mask[number] = device.frame(shift, settings.shape)
    return shade, mask
