"""One network, one loss, several faces: what rounding the kinks of a low-rank and sparse loss does for training.

``python benchmarks/priors_faces.py [--quick] [--json FILE]`` prints all figures. One thread; about 10 CPU minutes.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import t as student
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

from kotowari.networks.unet import UNet
from kotowari.priors.loss_weights import Continuation
from kotowari.priors.losses import LowRankSparseLoss
from kotowari.training.by_prior import train_by_prior
from kotowari.training.devices import one_thread
from kotowari.training.plan import TrainingPlan

__all__ = ["FACES", "measure_faces", "planted_cells"]

Array = npt.NDArray[Any]
Figures = dict[str, float]

# amounts and learning rate were chosen on seed 100, which is not among those measured
FACES: dict[str, dict[str, Any]] = {
    "none": {"smooth": "none"},
    "eps": {"smooth": "eps", "amount": 0.3},
    "moreau": {"smooth": "moreau", "amount": 0.3},
    "target": {"smooth": "target", "amount": 1.0},
    "continuation": {"smooth": "moreau", "amount": Continuation(3.0, 0.1)},
    "learned": {"smooth": "moreau", "amount": 0.3, "learned": True},
    "prox_backward": {"smooth": "prox-backward", "amount": 1.0},
}
FACES |= {f"{face}_drawn": FACES[face] for face in ("none", "moreau")}
_RATE = 1e-2
_SLACK = 1.01


def measure_faces(quick: bool = False) -> Figures:
    """Train the same dual-frame U-Net on the same planted cells by each face of the loss, and compare with ``none``.

    32 images to learn from in one step an epoch, 32 unseen ones to score; every seed draws images and weights anew. For
    each face, means over seeds and 95 % t intervals (``_low``, ``_high``) of

    * ``faces_<face>_ap``: average precision of the pixels' |S| on unseen images, mean over images;
    * ``faces_<face>_ratio``: the loss itself over its convex optimum on the training images, at the end;
    * ``faces_<face>_epochs``: first epoch at which the loss itself is within 1 % of where ``none`` ends (as many as
      there are when never; ``faces_<face>_unreached`` counts those seeds);
    * ``faces_<face>_oscillation``: root mean square of the relative rises of the loss itself from one epoch to the
      next, in the middle half of the training; ``faces_<face>_rises``: share of epochs in which it rises;
    * ``faces_<face>_cpu_s``: CPU seconds of the training;

    and, for all but ``none``, of the paired differences to it: ``faces_<face>_less_none_ap`` and so on. Beside them
    the average precision of the convex optimum of the unseen images themselves, of the distance to their median, of
    a network with drawn weights that was not trained, and by chance. All networks start with a last step of zeros, but
    for ``none_drawn`` and ``moreau_drawn``, which start as networks usually do.
    """
    seeds = range(2) if quick else range(5)
    n_epochs = 4 if quick else 60
    found: dict[str, list[Figures]] = {face: [] for face in FACES}
    beside: list[Figures] = []
    for seed in seeds:
        images, truth = planted_cells(seed, n=16 if quick else 64, side=32 if quick else 64)
        beside.append(_comparators(images, truth, seed))
        level = float("inf")
        for face, options in FACES.items():
            network = _network(seed, silent=not face.endswith("_drawn"))
            figures, course = _trained(network, images, truth, options, seed, n_epochs)
            if face == "none":
                level = _SLACK * course[-1]
            reached = np.flatnonzero(course <= level)
            figures["epochs"] = float(reached[0] + 1 if len(reached) else n_epochs)
            figures["unreached"] = float(len(reached) == 0)
            found[face].append(figures)
    return _summary(found, beside) | {"faces_seeds": float(len(seeds)), "faces_n_epochs": float(n_epochs)}


def planted_cells(seed: int, n: int, side: int) -> tuple[Tensor, Array]:
    """Return images ``(n, 1, side, side)`` in about [0, 1] and the truth ``(n, side, side)``.

    The background has rank 3 (a textured slide times gain and two illumination ramps) and a faint texture of each
    image's own; cells are soft dark ellipses with a darker nucleus that may overlap; counting noise of 800 photons at
    white.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / (side - 1) - 0.5
    ramps = rng.uniform(-0.2, 0.2, (2, n, 1, 1))
    slide = rng.uniform(0.75, 0.95, (n, 1, 1)) * (1 + ramps[0] * x + ramps[1] * y)
    background = slide * (1 + 0.04 * _texture(rng, 1, side, 12.0)) + 0.006 * _texture(rng, n, side, 8.0)
    absorbed, truth = np.zeros((n, side, side)), np.zeros((n, side, side), dtype=bool)
    for number in range(n):
        for _ in range(rng.integers(3, 9)):
            place, long = rng.uniform(0, side, 2), rng.uniform(4, 7)
            body, inside = _ellipse(side, place, (long, long * rng.uniform(0.6, 1.0)), rng.uniform(0, np.pi))
            nucleus, _ = _ellipse(side, place + rng.normal(size=2), (0.4 * long, 0.4 * long), 0.0)
            absorbed[number] += rng.uniform(0.12, 0.25) * body + rng.uniform(0.2, 0.3) * nucleus
            truth[number] |= inside
    photons = rng.poisson(800 * np.clip(background - absorbed, 0.02, None)) / 800
    return torch.tensor(photons[:, None], dtype=torch.float32), truth


def _texture(rng: np.random.Generator, n: int, side: int, highest: float) -> Array:
    """Gaussian random fields with frequencies up to about ``highest`` cycles an image, standard deviation 1."""
    spectrum = np.fft.rfft2(rng.normal(size=(n, side, side)))
    frequency = side * np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    field = np.fft.irfft2(spectrum * np.exp(-((frequency / highest) ** 2)), s=(side, side))
    return np.asarray(field / field.std())


def _ellipse(side: int, place: Array, axes: tuple[float, float], angle: float) -> tuple[Array, Array]:
    """Return an ellipse with a soft rim, 0 to 1, and what lies inside."""
    down, right = np.mgrid[:side, :side]
    down, right = down - place[0], right - place[1]
    along = right * np.cos(angle) + down * np.sin(angle)
    across = down * np.cos(angle) - right * np.sin(angle)
    radius = np.hypot(along / axes[0], across / axes[1])
    return 1 / (1 + np.exp((radius - 1) * min(axes) / 0.7)), radius <= 1


class _Watched(nn.Module):
    """Passes a loss on, and notes the loss itself, whatever its face, at every step."""

    def __init__(self, loss: LowRankSparseLoss) -> None:
        super().__init__()
        self.loss, self.course = loss, list[float]()
        self.parts, self.optimum, self.share, self.at = loss.parts, loss.optimum, loss.share, loss.at
        self.fixed = LowRankSparseLoss()

    def forward(self, found: Tensor, data: Tensor) -> Tensor:
        if self.training:
            self.course.append(_objective(self.fixed, found.detach(), data))
        value: Tensor = self.loss(found, data)
        return value


def _trained(
    network: UNet, images: Tensor, truth: Array, options: dict[str, Any], seed: int, n_epochs: int
) -> tuple[Figures, Array]:
    half = len(images) // 2
    loss = _Watched(LowRankSparseLoss(**options))
    plan = TrainingPlan(
        max_epochs=n_epochs, patience=n_epochs, batch_size=half, learning_rate=_RATE, weight_decay=0.0, seed=seed
    )
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a trivial answer shows in its average precision
        train_by_prior(
            network,
            images,
            loss=loss,
            plan=plan,
            train_index=np.arange(half),
            validation_index=np.arange(0),
            with_optimum=False,
        )
    seconds = time.process_time() - begin
    with torch.no_grad():
        ours, unseen = network(images[:half]), network(images[half:])
    course = np.array(loss.course)
    middle = np.diff(np.log(course))[n_epochs // 4 : 3 * n_epochs // 4]
    figures = {
        "ap": _average_precision(unseen, truth[half:]),
        "ratio": _objective(loss.fixed, ours, images[:half]) / loss.fixed.optimum(images[:half]).objective,
        "oscillation": float(np.sqrt(np.mean(np.maximum(middle, 0) ** 2))),
        "rises": float(np.mean(middle > 0)),
        "cpu_s": seconds,
    }
    return figures, course


def _comparators(images: Tensor, truth: Array, seed: int) -> Figures:
    unseen, hidden = images[len(images) // 2 :], truth[len(images) // 2 :]
    with torch.no_grad():
        untrained = _network(seed, silent=False)(unseen)  # batch statistics, since none were learned
    return {
        "optimum_ap": _average_precision(LowRankSparseLoss().optimum(unseen).sparse, hidden),
        "median_ap": _average_precision(unseen - unseen.median(0).values, hidden),
        "untrained_ap": _average_precision(untrained, hidden),
        "chance_ap": float(hidden.mean()),
    }


def _network(seed: int, *, silent: bool) -> UNet:
    torch.manual_seed(seed)
    return UNet(width=8, dual_frame=True, silent_start=silent)


def _objective(loss: LowRankSparseLoss, found: Tensor, data: Tensor) -> float:
    return sum(float(part) for part in loss.parts(found, data).values())


def _average_precision(found: Tensor, truth: Array) -> float:
    scores = found[:, 0].abs().numpy()
    shown = [number for number in range(len(truth)) if truth[number].any()]
    return float(np.mean([average_precision_score(truth[i].ravel(), scores[i].ravel()) for i in shown]))


def _summary(found: dict[str, list[Figures]], beside: list[Figures]) -> Figures:
    figures: Figures = {}
    for name in beside[0]:
        figures |= _with_interval(f"faces_{name}", [each[name] for each in beside])
    for face, rows in found.items():
        for name in ("ap", "ratio", "epochs", "oscillation", "rises", "cpu_s"):
            own = [row[name] for row in rows]
            figures |= _with_interval(f"faces_{face}_{name}", own)
            if face != "none":
                raw = [row[name] for row in found["none"]]
                figures |= _with_interval(f"faces_{face}_less_none_{name}", list(np.subtract(own, raw)))
        figures[f"faces_{face}_unreached"] = sum(row["unreached"] for row in rows)
    return figures


def _with_interval(key: str, values: list[float]) -> Figures:
    """Mean over seeds and the ends of its 95 % t interval."""
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)
    room = float(student.ppf(0.975, len(values) - 1)) * error
    return {key: mean, f"{key}_low": mean - room, f"{key}_high": mean + room}


def main() -> None:
    """Print the figures, and write them to a file when asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, flat")
    options = parser.parse_args()
    with one_thread():
        figures = measure_faces(options.quick)
    for key, value in figures.items():
        if not key.endswith(("_low", "_high")):
            ends = f" [{figures[f'{key}_low']:.4g}, {figures[f'{key}_high']:.4g}]" if f"{key}_low" in figures else ""
            print(f"{key:<44} {value:.4g}{ends}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
