"""Trees of vessels in the plane that look like coronary arteries: tapering, tortuous, and thinning by Murray's law."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from kotowari.core.errors import InputError

__all__ = ["TreeKind", "VesselTree", "grow_tree", "smooth_curve", "typical_root_radius"]

TreeKind = Literal["left", "right", "any"]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.int64]

_STEP = 1.5
_MOST_ORDERS = 4
_TAPER = 0.45  # share of the radius lost by e over one side of the picture
# control points as shares of (height, width); the second curve of a left tree leaves the first at _LEFT_FORK
_RIGHT = (
    (0.27, 0.56),
    (0.22, 0.42),
    (0.33, 0.28),
    (0.52, 0.23),
    (0.70, 0.29),
    (0.79, 0.43),
    (0.77, 0.58),
    (0.72, 0.72),
)
_LEFT = ((0.14, 0.24), (0.17, 0.36), (0.24, 0.50), (0.38, 0.62), (0.56, 0.70), (0.76, 0.75), (0.90, 0.73))
_CIRCUMFLEX = ((0.30, 0.42), (0.46, 0.38), (0.63, 0.42), (0.80, 0.50))
_LEFT_FORK = 0.2


@dataclass(frozen=True, eq=False)
class VesselTree:
    """Centrelines of a binary tree as points in a row, branch after branch.

    A branch runs from one fork to the next and begins on the last point of its parent.

    Attributes
    ----------
    points
        Shape ``(point, 2)``: row and column in pixels, pixel centres at whole numbers; about 1.5 px apart.
    radius
        Shape ``(point,)``, in pixels.
    path
        Shape ``(point,)``: way along the vessels from the root, in pixels.
    branch
        Shape ``(point,)``: number of the branch, never falling.
    parents
        Shape ``(branch,)``: the branch it springs from; -1 for the first.
    """

    points: FloatArray
    radius: FloatArray
    path: FloatArray
    branch: IndexArray
    parents: IndexArray

    @property
    def root_radius(self) -> float:
        """Radius at the root, in pixels."""
        return float(self.radius[0])

    @property
    def starts(self) -> IndexArray:
        """Shape ``(branch,)``: first point of each branch."""
        return np.searchsorted(self.branch, np.arange(len(self.parents))).astype(np.int64)


def typical_root_radius(shape: tuple[int, int]) -> float:
    """Return the radius in pixels that a coronary artery has at its root in a picture of this shape: 2.5 to 6."""
    return float(np.clip(0.02 * min(shape), 2.5, 6.0))


def grow_tree(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    kind: TreeKind = "any",
    root_radius: float | None = None,
    least_radius: float = 1.0,
    tortuosity: float = 1.0,
) -> VesselTree:
    r"""Grow a tree of vessels inside a picture.

    One curve (right) or two (left) follow the course of the large coronary arteries, turned, shifted and bent at
    random; side branches leave them, bend back and branch again. At every fork

    .. math:: r_0^3 = r_1^3 + r_2^3

    and in between radii taper slowly. Branches cross by projection, as in life. Our own construction but for the law.

    Parameters
    ----------
    shape
        Height and width of the picture in pixels, each 32 or more.
    rng
        Stream of the tree.
    kind
        ``"right"`` (a C), ``"left"`` (a fork) or ``"any"``.
    root_radius
        In pixels, above ``least_radius``; None for :func:`typical_root_radius`.
    least_radius
        No vessel gets thinner, in pixels, above 0.
    tortuosity
        Factor of the windings, 0 or more.

    Raises
    ------
    InputError
        When an option is out of range.

    Source: Murray 1926, Proc. Natl. Acad. Sci. 12:207-214 (the cubes of the radii).
    """
    radius = typical_root_radius(shape) if root_radius is None else root_radius
    if min(shape) < 32:
        raise InputError(f"grow_tree: the picture needs 32 pixels a side or more, got {shape}.")
    if not 0 < least_radius < radius:
        raise InputError(f"grow_tree: needs 0 < least_radius < root_radius, got {least_radius:g} and {radius:g}.")
    if not tortuosity >= 0:
        raise InputError(f"grow_tree: tortuosity must be 0 or more, got {tortuosity}.")
    if kind not in {"left", "right", "any"}:
        raise InputError(f"grow_tree: kind must be left, right or any, got {kind!r}.")
    growth = _Growth(shape, rng, radius, least_radius, tortuosity)
    right = rng.random() < 0.5
    return growth.grow(right if kind == "any" else kind == "right")


def smooth_curve(controls: FloatArray, step: float = _STEP) -> FloatArray:
    """Return points ``step`` apart along a cubic spline through ``controls``, shape ``(point, 2)``, two or more."""
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(controls, axis=0), axis=1))])
    fine = CubicSpline(chord, controls)(np.linspace(0, chord[-1], max(8, int(2 * chord[-1]))))
    return _resampled(fine, step)


def _resampled(curve: FloatArray, step: float) -> FloatArray:
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    at = np.linspace(0, way[-1], max(2, round(way[-1] / step) + 1))
    return np.column_stack([np.interp(at, way, curve[:, 0]), np.interp(at, way, curve[:, 1])])


@dataclass
class _Shoot:
    """A curve that still has to be cut into branches."""

    curve: FloatArray
    radius: float
    path: float
    parent: int
    order: int


class _Growth:
    """Collects branches until no vessel is thick enough to fork."""

    def __init__(
        self,
        shape: tuple[int, int],
        rng: np.random.Generator,
        root_radius: float,
        least_radius: float,
        tortuosity: float,
    ) -> None:
        self.shape, self.rng = shape, rng
        self.side = float(min(shape))
        self.root_radius, self.least, self.tortuosity = root_radius, least_radius, tortuosity
        self.branches: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self.parents: list[int] = []

    def grow(self, right: bool) -> VesselTree:
        controls, second = self._placed(right)
        trunk = self._wound(smooth_curve(controls), 0.5)
        shoots = [_Shoot(self._inside(trunk), self.root_radius, 0.0, -1, 0)]
        forks: dict[int, FloatArray | None] = {}
        if not right:
            at = max(2, int(_LEFT_FORK * len(trunk)))
            forks[at] = self._wound(smooth_curve(np.concatenate([trunk[at : at + 1], second])), 0.5)
        while shoots:
            shoot = shoots.pop(0)
            shoots += self._cut(shoot, forks)
            forks = {}
        sizes = [len(points) for points, _, _ in self.branches]
        points, radius, path = (np.concatenate(part) for part in zip(*self.branches, strict=True))
        return VesselTree(points, radius, path, np.repeat(np.arange(len(sizes)), sizes), np.array(self.parents))

    def _placed(self, right: bool) -> tuple[FloatArray, FloatArray]:
        """Return the control points of the large arteries in pixels, turned, stretched, shifted and jittered."""
        rng = self.rng
        first = np.array(_RIGHT if right else _LEFT)
        both = np.concatenate([first, np.array(_CIRCUMFLEX)]) - 0.5
        angle, mirror = rng.normal(0, 0.25), -1.0 if rng.random() < 0.25 else 1.0
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        stretch = rng.uniform(0.8, 1.1, 2) * (1.0, mirror)
        both = (both * stretch) @ turn.T + 0.5 + rng.normal(0, 0.04, 2) + rng.normal(0, 0.015, both.shape)
        both *= np.array(self.shape, dtype=np.float64) - 1
        return both[: len(first)], both[len(first) :]

    def _wound(self, curve: FloatArray, amount: float) -> FloatArray:
        """Push a curve sideways by sines, nothing at its beginning."""
        way = _STEP * np.arange(len(curve))
        tangent = np.gradient(curve, axis=0)
        normal = np.column_stack([-tangent[:, 1], tangent[:, 0]]) / np.linalg.norm(tangent, axis=1)[:, None]
        length = self.side * self.rng.uniform(0.15, 0.45, 3)
        sines = np.sin(2 * np.pi * way[:, None] / length + self.rng.uniform(0, 2 * np.pi, 3)) * length
        push = 0.025 * amount * self.tortuosity * sines.sum(1) * (1 - np.exp(-way / (0.08 * self.side)))
        return _resampled(curve + push[:, None] * normal, _STEP)

    def _inside(self, curve: FloatArray) -> FloatArray:
        """Return the curve up to where it leaves the picture."""
        out = ((curve < 1) | (curve > np.array(self.shape) - 2)).any(1)
        return curve[: int(np.argmax(out))] if out.any() else curve

    def _cut(self, shoot: _Shoot, forks: dict[int, FloatArray | None]) -> list[_Shoot]:
        """Cut a curve at its forks, keep the pieces as branches, and return the side branches."""
        curve, radius, path, parent = shoot.curve, shoot.radius, shoot.path, shoot.parent
        drawn: dict[int, FloatArray | None] = dict.fromkeys(self._fork_places(shoot))
        places = drawn | forks if shoot.order < _MOST_ORDERS else forks
        first, found = 0, []
        for at in sorted(places):
            end = self._tapered(radius, at - first)
            share = self.rng.uniform(0.35, 0.5) if places[at] is not None else self.rng.uniform(0.12, 0.45)
            onward, aside = float(end * (1 - share) ** (1 / 3)), float(end * share ** (1 / 3))
            if min(onward, aside) < self.least or at - first < 3 or at > len(curve) - 3:
                continue
            side = places[at]
            daughter = self._inside(self._side_curve(curve, at, aside) if side is None else side)
            if len(daughter) < 4:
                continue
            way = path + _STEP * (at - first)
            parent = self._keep(curve[first : at + 1], radius, path, parent)
            found.append(_Shoot(daughter, aside, way, parent, shoot.order + 1))
            first, radius, path = at, onward, way
        self._keep(curve[first:], radius, path, parent)
        return found

    def _fork_places(self, shoot: _Shoot) -> list[int]:
        """Return where side branches may leave a curve; closer together on thin vessels."""
        mean_gap = self.side * 0.15 * (shoot.radius / self.root_radius) ** 0.5 / _STEP
        gaps = mean_gap * self.rng.uniform(0.5, 1.5, 40)
        return [int(at) for at in np.cumsum(gaps) if at < len(shoot.curve)]

    def _tapered(self, radius: float, steps: int | IndexArray) -> FloatArray:
        tapered: FloatArray = np.maximum(radius * np.exp(-_TAPER * np.asarray(steps) * _STEP / self.side), self.least)
        return tapered

    def _keep(self, points: FloatArray, radius: float, path: float, parent: int) -> int:
        steps = np.arange(len(points))
        self.branches.append((points, self._tapered(radius, steps), path + _STEP * steps.astype(np.float64)))
        self.parents.append(parent)
        return len(self.parents) - 1

    def _side_curve(self, curve: FloatArray, at: int, radius: float) -> FloatArray:
        """Draw a winding curve that leaves another at point ``at`` and bends back to its direction."""
        rng = self.rng
        ahead = curve[min(at + 2, len(curve) - 1)] - curve[max(at - 2, 0)]
        aside = rng.choice((-1.0, 1.0)) * rng.uniform(0.45, 1.3)
        length = self.side * rng.uniform(0.2, 0.6) * (radius / self.root_radius) ** 0.4
        way = np.arange(0, max(length, 6 * _STEP), _STEP)
        corkscrew = rng.random() < 0.15
        waves = self.side * (rng.uniform(0.08, 0.14, 2) if corkscrew else rng.uniform(0.12, 0.4, 2))
        swing = self.tortuosity * (rng.uniform(0.5, 0.9, 2) if corkscrew else rng.uniform(0.05, 0.4, 2))
        phase = rng.uniform(0, 2 * np.pi, 2)
        winding = (swing * (np.sin(2 * np.pi * way[:, None] / waves + phase) - np.sin(phase))).sum(1)
        heading = np.arctan2(ahead[1], ahead[0]) + aside * (1 - rng.uniform(0, 0.8) * way / way[-1]) + winding
        moves = _STEP * np.column_stack([np.cos(heading), np.sin(heading)])
        return np.concatenate([curve[at : at + 1], curve[at] + np.cumsum(moves, axis=0)])
