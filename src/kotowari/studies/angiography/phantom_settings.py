"""Constants of the simulated X-ray runs: picture, vessels, contrast, motion, background and detector."""

from dataclasses import dataclass

from kotowari.core.errors import InputError
from kotowari.studies.angiography.vessel_tree import TreeKind

__all__ = ["RunSettings"]

_POSITIVE = ("frame_s", "photons", "heart_hz", "breath_hz")
_RANGES = {
    "attenuation": (0.0, 3.0),
    "heart_px": (0.0, 60.0),
    "breath_px": (0.0, 60.0),
    "clutter": (0.0, 3.0),
    "device_attenuation": (0.0, 2.0),
    "blur_px": (0.0, 5.0),
    "scatter": (0.0, 0.9),
    "tortuosity": (0.0, 3.0),
    "begin": (0.0, 0.9),
    "filled": (0.0, 1.0),
    "emptied": (0.0, 1.0),
}


@dataclass(frozen=True)
class RunSettings:
    """Constants of :func:`kotowari.studies.angiography.phantom.simulate_run`; the defaults are locked to life there.

    Attributes
    ----------
    shape
        Height and width in pixels, each 32 or more.
    n_frames
        1 or more.
    frame_s
        Seconds from frame to frame, above 0.
    kind
        Coronary tree: left, right or any.
    root_radius, tortuosity
        Of the tree, in pixels and as a factor (0 to 3); see :func:`kotowari.studies.angiography.vessel_tree.grow_tree`.
    attenuation
        Of the thickest vessel through its middle, filled: 0.05 to 0.6 in life, up to 3; 0 simulates a run without
        contrast.
    begin, filled, emptied
        Shares of the run, rising: when contrast enters the root, when its front has reached the farthest end, when it
        begins to be washed out of the root.
    front_speed
        Of the contrast in pixels a second (20 to 60 in a run of 128 pixels); None for what ``filled`` asks for.
    heart_px, heart_hz
        Largest displacement of the heart, in pixels (None for 3 % of the shorter side), and beats a second (1 to 1.5
        in life).
    breath_px, breath_hz
        The same for breathing (None for 4.5 %); the heart follows by a third.
    clutter
        Factor of the contrast of ribs, heart shadow, diaphragm and lung, 0 to 3.
    moving
        Whether the background moves.
    device_attenuation
        Of the catheter through its middle, 0 to 2; 0 for none.
    photons
        A pixel in clear field, above 0 (200 to 5,000 in life).
    blur_px
        Standard deviation of the detector's blur, 0 to 5 px.
    scatter
        Share of the light that was scattered far, 0 to 0.9.
    bits
        8, 10, 12 or 16 a pixel.
    shutter
        Whether a round shutter darkens the corners.
    """

    shape: tuple[int, int] = (128, 128)
    n_frames: int = 96
    frame_s: float = 1 / 15
    kind: TreeKind = "any"
    root_radius: float | None = None
    tortuosity: float = 1.0
    attenuation: float = 0.4
    begin: float = 0.15
    filled: float = 0.55
    emptied: float = 0.65
    front_speed: float | None = None
    heart_px: float | None = None
    heart_hz: float = 1.2
    breath_px: float | None = None
    breath_hz: float = 0.25
    clutter: float = 1.0
    moving: bool = True
    device_attenuation: float = 0.25
    photons: float = 1000.0
    blur_px: float = 0.6
    scatter: float = 0.15
    bits: int = 8
    shutter: bool = True

    def __post_init__(self) -> None:
        if min(self.shape) < 32 or self.n_frames < 1:
            raise InputError(
                f"RunSettings: needs 32 pixels a side and 1 frame or more, got {self.shape} and {self.n_frames}."
            )
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise InputError(f"RunSettings: {name} must be above 0, got {getattr(self, name)}.")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"RunSettings: {name} must lie between {low:g} and {high:g}, got {value}.")
        if not self.begin < self.filled or not self.begin <= self.emptied:
            raise InputError(
                f"RunSettings: contrast must begin before it fills and empties the tree, got begin {self.begin:g}, "
                f"filled {self.filled:g} and emptied {self.emptied:g}."
            )
        if self.front_speed is not None and not self.front_speed > 0:
            raise InputError(f"RunSettings: front_speed must be above 0, got {self.front_speed}.")
        if self.bits not in {8, 10, 12, 16}:
            raise InputError(f"RunSettings: bits must be 8, 10, 12 or 16, got {self.bits}.")

    @property
    def largest_heart_px(self) -> float:
        """Largest displacement by the heartbeat, in pixels; 0 where nothing moves."""
        return (0.03 * min(self.shape) if self.heart_px is None else self.heart_px) if self.moving else 0.0

    @property
    def largest_breath_px(self) -> float:
        """Largest displacement by breathing, in pixels; 0 where nothing moves."""
        return (0.045 * min(self.shape) if self.breath_px is None else self.breath_px) if self.moving else 0.0
