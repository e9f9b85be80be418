"""Random vessel trees as lengths of path through contrast medium, to be learned from."""

from dataclasses import dataclass, replace
from math import log
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import ndimage, signal

from kotowari.core.errors import InputError

__all__ = ["DrawnTrees", "TreeLaw", "draw_trees"]

Picture = npt.NDArray[np.float32]

_STEP = 0.7
_MOST_BRANCHES = 40
_DEEPEST = 7
_STENOSES = 0.15
_HALF_PATH = 0.75**0.5


@dataclass(frozen=True)
class TreeLaw:
    r"""How trees are drawn; lengths are in pixels of the picture.

    A vessel of radius r runs in a direction that turns by an Ornstein-Uhlenbeck process, narrows along its way, sends
    out side branches and ends in two children whose radii follow Murray's law, :math:`r_0^3 = r_1^3 + r_2^3`.

    Parameters
    ----------
    radii
        Smallest and largest radius, above 0 and growing; a root's radius is drawn evenly in its logarithm from the
        upper part of this range.
    n_trees
        Least and largest number of trees in a picture.
    turning
        Least and largest spread of the direction about the course of a tree, in radians, 0 or more.
    length
        Mean length of the widest vessel between two divisions, in its radii; that of others goes by the power 0.6 of
        their radius.
    attenuation
        Least and largest attenuation at the centre of the widest vessel of a picture.
    least_drawn
        Radius below which a vessel is not outlined, above 0: readers draw main vessels and branches of some 3 pixels
        and leave out what is thinner.
    outline
        Share of the radius at which a vessel is outlined, above 0 and up to 1. By default the edge is where the path
        through it is half of the longest, and so is its contrast, as vessels are sized by eye and by half maximum; 1
        is the very edge of the lumen, where nothing is seen.

    Raises
    ------
    InputError
        When one of them is out of range.
    """

    radii: tuple[float, float] = (0.9, 8.5)
    n_trees: tuple[int, int] = (1, 3)
    turning: tuple[float, float] = (0.1, 0.9)
    length: float = 20.0
    attenuation: tuple[float, float] = (0.1, 0.6)
    least_drawn: float = 1.5
    outline: float = _HALF_PATH

    def scaled(self, factor: float) -> "TreeLaw":
        """Return the law for pictures with ``factor`` times as many pixels a side.

        Finer pictures show wider vessels and thinner ones as well, and readers draw what is as wide in pixels: what is
        smallest shrinks in smaller pictures and stays in larger ones.
        """
        low, high = self.radii
        least = min(1.0, factor)
        return replace(self, radii=(low * least, high * factor), least_drawn=self.least_drawn * least)

    def __post_init__(self) -> None:
        bounds = {
            "radii": 0 < self.radii[0] < self.radii[1],
            "n_trees": 1 <= self.n_trees[0] <= self.n_trees[1],
            "turning": 0 <= self.turning[0] <= self.turning[1],
            "length": self.length > 0,
            "least_drawn": self.least_drawn > 0,
            "outline": 0 < self.outline <= 1,
            "attenuation": 0 < self.attenuation[0] <= self.attenuation[1],
        }
        for name, fits in bounds.items():
            if not fits:
                raise InputError(f"TreeLaw: {name} = {getattr(self, name)} is out of range. See its description.")


class DrawnTrees(NamedTuple):
    """Pictures of some trees, all of shape ``(height, width)``.

    ``attenuation`` is 0 or more and blurred as by a detector; ``mask`` is what readers would draw of the trees.
    """

    attenuation: Picture
    mask: npt.NDArray[np.bool_]


def draw_trees(shape: tuple[int, int], law: TreeLaw, rng: np.random.Generator) -> DrawnTrees:
    r"""Draw trees and what they do to the rays.

    .. math:: a = c \, \big( \ell / \ell_{max} \big)^g, \quad
        \ell = \sum_{trees} \rho \, \Big( \sum_{branches} \big( 2 \sqrt{r^2 - d^2} \big)^3 \Big)^{1/3}

    where d is the distance from the axis of a branch and :math:`\rho` the share of medium, drawn from 0.5 to 1. By Beer
    and Lambert g is 1; displays that compress the range make it smaller, so it is drawn from 0.6 to 1. Paths are
    blurred by 0.4 to 1.2 pixels, as a detector does.

    Parameters
    ----------
    shape
        Height and width.
    law
        How they are drawn.
    rng
        Source of all draws.
    """
    length, drawn = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    wide = np.zeros(shape, np.bool_)
    for _ in range(int(rng.integers(law.n_trees[0], law.n_trees[1] + 1))):
        cubes, path = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for points in _grown(shape, law, rng):
            _stamp(path, cubes, points)
            _outline(drawn, points, law.least_drawn, law.outline)
        # mother and child share the ball at their fork: a sum would count it twice
        length += np.float32(rng.uniform(0.5, 1.0)) * np.cbrt(cubes)
        wide |= cubes > 0
    strength = rng.uniform(*law.attenuation)
    bulk = np.maximum(ndimage.gaussian_filter(length, rng.uniform(0.4, 1.2)), 0)
    most = max(law.radii[1], float(np.quantile(length[wide], 0.98)) if wide.any() else 1.0)
    attenuation = strength * np.minimum(bulk / most, 1.5) ** rng.uniform(0.6, 1.0)
    attenuation[bulk < 0.02] = 0
    return DrawnTrees(attenuation.astype(np.float32), drawn)


def _grown(shape: tuple[int, int], law: TreeLaw, rng: np.random.Generator) -> list[npt.NDArray[np.float64]]:
    """Return the branches of one tree, each ``(point, [y, x, radius])``."""
    low, high = law.radii
    radius = float(np.exp(rng.uniform(log(low * (high / low) ** 0.45), log(high))))
    place, angle = _root(shape, rng)
    habit = _Habit(law.length * high**0.4, rng.uniform(*law.turning), rng.normal(0, 1.2 / min(shape)))
    waiting: list[_Bud] = [_Bud(place, angle, radius, 0)]
    branches: list[npt.NDArray[np.float64]] = []
    while waiting and len(branches) < _MOST_BRANCHES:
        bud = waiting.pop(0)
        path, angles = _walk(bud, habit, rng)
        branches.append(path)
        if path[-1, 2] >= low and bud.depth < _DEEPEST and _within(path[-1, :2], shape, 20):
            waiting += _children(path, angles, low, bud.depth, rng)
    return branches


def _root(shape: tuple[int, int], rng: np.random.Generator) -> tuple[npt.NDArray[np.float64], float]:
    height, width = shape
    place = np.array([rng.uniform(0, height), rng.uniform(0, width)])
    if rng.uniform() < 0.7:  # mostly from a border, towards the middle
        axis = int(rng.integers(2))
        place[axis] = rng.choice([-5.0, shape[axis] + 5.0])
        towards = np.array([rng.uniform(0.25, 0.75) * height, rng.uniform(0.25, 0.75) * width]) - place
        return place, float(np.arctan2(towards[0], towards[1]))
    return place, float(rng.uniform(0, 2 * np.pi))


def _walk(
    bud: "_Bud", habit: "_Habit", rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the points of one branch and its direction at each of them."""
    reach = habit.length * bud.radius**0.6 * rng.gamma(4.0, 0.25)
    n = max(6, int(reach / _STEP))
    # the direction swings about a slowly turning course: curvature alone would tie knots
    memory = np.exp(-_STEP / (2.5 * (2 * bud.radius + 2.0)))
    kicks = rng.standard_normal(n) * np.sqrt(1 - memory**2)
    swing = habit.turning * signal.lfilter([1.0], [1.0, -memory], kicks)
    angles = bud.angle + ndimage.gaussian_filter1d(swing, 2 + bud.radius) + habit.bend * _STEP * np.arange(n)
    path = bud.place + np.cumsum(np.stack([np.sin(angles), np.cos(angles)], 1), 0) * _STEP
    radii = bud.radius * np.linspace(1.0, rng.uniform(0.7, 0.95), n)
    if rng.uniform() < _STENOSES:
        centre, spread = rng.uniform(0.2, 0.8) * n, 2.0 * bud.radius / _STEP + 3
        radii *= 1 - rng.uniform(0.2, 0.6) * np.exp(-0.5 * ((np.arange(n) - centre) / spread) ** 2)
    return np.column_stack([path, radii]), angles


def _children(
    path: npt.NDArray[np.float64], angles: npt.NDArray[np.float64], low: float, depth: int, rng: np.random.Generator
) -> list["_Bud"]:
    end = path[-1]
    share = rng.uniform(0.5, 0.92)
    side = rng.choice([-1.0, 1.0])
    radii = end[2] * share ** (1 / 3), end[2] * (1 - share) ** (1 / 3)
    turns = side * rng.uniform(0.05, 0.4), -side * rng.uniform(0.35, 1.0)
    buds = [_Bud(end[:2], angles[-1] + turn, r, depth + 1) for r, turn in zip(radii, turns, strict=True)]
    for _ in range(int(rng.poisson(0.8))):
        at = int(rng.uniform(0.1, 0.95) * len(path))
        angle = angles[at] + rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.4)
        buds.append(_Bud(path[at, :2], angle, path[at, 2] * rng.uniform(0.3, 0.65), depth + 2))
    return [bud for bud in buds if bud.radius >= low]


def _within(place: npt.NDArray[np.float64], shape: tuple[int, int], margin: float) -> bool:
    return bool(np.all(place > -margin) and np.all(place < np.array(shape) + margin))


class _Bud(NamedTuple):
    """Where a branch will begin."""

    place: npt.NDArray[np.float64]
    angle: float
    radius: float
    depth: int


class _Habit(NamedTuple):
    """What the branches of one tree have in common."""

    length: float
    turning: float
    bend: float


@njit(cache=True)
def _stamp(path: Any, cubes: Any, points: Any) -> None:  # pragma: no cover
    """Add to ``cubes`` the cubed path through the union of balls around the points; ``path`` is 0 before and after."""
    height, width = path.shape
    for clearing in (False, True):
        for k in range(points.shape[0]):
            y, x, r = points[k, 0], points[k, 1], points[k, 2]
            for i in range(max(0, int(y - r)), min(height, int(y + r) + 2)):
                for j in range(max(0, int(x - r)), min(width, int(x + r) + 2)):
                    left = r * r - (i - y) ** 2 - (j - x) ** 2
                    if clearing:
                        cubes[i, j] += path[i, j] ** 3
                        path[i, j] = 0
                    elif left > 0:
                        path[i, j] = max(path[i, j], 2 * np.sqrt(left))


@njit(cache=True)
def _outline(mask: Any, points: Any, least: float, share: float) -> None:  # pragma: no cover
    """Mark the pixels within a share of the radius of the points whose radius is ``least`` or more."""
    height, width = mask.shape
    for k in range(points.shape[0]):
        y, x, r = points[k, 0], points[k, 1], points[k, 2]
        if r >= least:
            r = share * r
            for i in range(max(0, int(y - r)), min(height, int(y + r) + 2)):
                for j in range(max(0, int(x - r)), min(width, int(x + r) + 2)):
                    if (i - y) ** 2 + (j - x) ** 2 <= r * r:
                        mask[i, j] = True
