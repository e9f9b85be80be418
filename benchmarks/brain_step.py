"""One training step of the autoencoder at 1.5 mm, and volumes ready to train: seconds and memory."""

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from harness import Figures, NotMeasured, peers
from kotowari.networks.autoencoder3d import Autoencoder3d
from kotowari.studies.brain.model.volume_store import VolumeStore
from kotowari.training.precision import PrecisionChoice, choose_precision

__all__ = ["make_step", "ready_volumes", "run_peers", "store_reader", "training_step"]

_BLOCKS, _CHANNELS = 3, 16
_KINDS = ("plain", "ours", "exact")


def training_step(quick: bool) -> Figures:
    """Measure ``step_speedup`` and ``step_memory_ratio``: 121 x 145 x 121, 3 blocks of 16 channels, batch 1.

    Plain is the same network in float32 on the whole grid, layers one by one. Seconds are medians over rounds in which
    both run in turn; memory is the peak of a process of its own beyond what it held before the network was built, with
    the precision that the self-test chose in this process (the test itself needs about what a step in float32 does).
    """
    volume = _head(quick=quick)
    steps = {kind: _step_of(kind, volume, _BLOCKS, _CHANNELS) for kind in ("plain", "ours")}
    seconds: dict[str, list[float]] = {kind: [] for kind in steps}
    for step in steps.values():
        step()
    for _ in range(2 if quick else 5):
        for kind, step in steps.items():
            begin = time.process_time()
            step()
            seconds[kind].append(time.process_time() - begin)
    ratios = [plain / ours for plain, ours in zip(seconds["plain"], seconds["ours"], strict=True)]
    alone = {kind: _alone(kind, steps["ours"].precision, volume) for kind in _KINDS}
    gaps = [abs(a - b) / b for a, b in zip(alone["ours"]["losses"], alone["exact"]["losses"], strict=True)]
    return {
        "step_speedup": statistics.median(ratios),
        "step_speedup_lowest": min(ratios),
        "step_speedup_highest": max(ratios),
        "step_cpu_s": statistics.median(seconds["ours"]),
        "step_plain_cpu_s": statistics.median(seconds["plain"]),
        "step_memory_ratio": alone["plain"]["mib"] / alone["ours"]["mib"],
        "step_memory_mib": alone["ours"]["mib"],
        "step_plain_memory_mib": alone["plain"]["mib"],
        "step_loss_gap": gaps[0],
        "step_loss_gap_third": gaps[-1],
        "step_loss": alone["ours"]["losses"][-1],
        "step_precision": steps["ours"].note,
    }


def ready_volumes(quick: bool) -> Figures:
    """Measure ``load100_cpu_s``: a pass over 100 volumes of 121 x 145 x 121 from the store, beside nibabel."""
    import nibabel

    n_volumes, base, rng = 6 if quick else 100, _head(quick=quick).numpy()[0, 0], np.random.default_rng(1)
    with TemporaryDirectory() as name:
        paths = [str(Path(name) / f"{number}.nii.gz") for number in range(n_volumes)]
        for path in paths:
            volume = (base * rng.normal(1, 0.1) * rng.normal(1, 0.01, base.shape)).astype(np.float32)
            nibabel.save(nibabel.Nifti1Image(volume, np.diag([1.5, 1.5, 1.5, 1.0])), path)
        begin = time.process_time()
        read = store_reader(paths)
        built = time.process_time() - begin
        passes = {"ours": read, "nibabel": lambda number: nibabel.load(paths[number]).get_fdata(dtype=np.float32)}
        seconds, sums = {}, {}
        for who, one in passes.items():
            begin = time.process_time()
            sums[who] = np.array([float(one(number).sum(dtype=np.float64)) for number in range(n_volumes)])
            seconds[who] = (time.process_time() - begin) * 100 / n_volumes
    return {
        "load100_cpu_s": seconds["ours"],
        "load100_nibabel_cpu_s": seconds["nibabel"],
        "load100_build_cpu_s": built * 100 / n_volumes,
        "load100_sum_gap": float(np.abs(sums["ours"] / sums["nibabel"] - 1).max()),
    }


def run_peers(quick: bool) -> Figures:
    """Run the peers' script."""
    return peers("brain", quick=quick, rounds=3)


def make_step(volume: Tensor, n_blocks: int, n_channels: int) -> Callable[[], float]:
    """Return one training step on the box of the voxels that are not 0; the loss is that over the whole volume.

    Outside of the box the reconstruction is 0, as the volume is, so nothing is lost there.
    """
    return _step_of("ours", volume, n_blocks, n_channels)


def store_reader(paths: Sequence[str]) -> Callable[[int], npt.NDArray[np.float32]]:
    """Build a store of the files, with every voxel above 0 in the first as its mask, and return its reader."""
    import nibabel

    folder = Path(mkdtemp(prefix="brain-store-", dir=Path(paths[0]).parent))
    first = nibabel.load(paths[0])
    mask = folder / "mask.nii.gz"
    nibabel.save(nibabel.Nifti1Image((first.get_fdata() > 0).astype(np.uint8), first.affine), mask)
    names = [f"sub-{number}" for number in range(len(paths))]
    store = VolumeStore.build([Path(path) for path in paths], mask, folder / "store", subjects=names)
    return lambda number: store.volumes([number])[0]


class _Step:
    """One step of Adam at a time, with the mean absolute error over the whole volume."""

    def __init__(self, network: nn.Module, x: Tensor, n_voxels: int, precision: str, note: str) -> None:
        self.note, self.precision = note, precision
        self._network, self._x, self._n_voxels = network, x, n_voxels
        self._short = precision != "32-true"
        self._optimizer = torch.optim.Adam(network.parameters(), 1e-3)

    def __call__(self) -> float:
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._short):
            output = self._network(self._x)
        loss = (output.float() - self._x).abs().sum() / self._n_voxels
        loss.backward()
        self._optimizer.step()
        return loss.item()


def _step_of(kind: str, volume: Tensor, n_blocks: int, n_channels: int, known: str | None = None) -> _Step:
    """Return a step: ``plain`` on the whole grid, ``exact`` in float32 on the box, ``ours`` as the study trains.

    ``known`` is the precision of ours where it has been chosen before.
    """
    torch.manual_seed(0)
    network = Autoencoder3d(n_blocks, n_channels).train()
    if kind == "plain":
        return _Step(_layers_one_by_one(network), volume, volume.numel(), "32-true", "float32, whole grid")
    held = (volume[0, 0] != 0).nonzero()
    low, high = held.amin(0).tolist(), (held.amax(0) + 1).tolist()
    x = volume[:, :, low[0] : high[0], low[1] : high[1], low[2] : high[2]].contiguous()
    if kind == "exact":
        return _Step(_layers_one_by_one(network), x, volume.numel(), "32-true", "float32, box")
    if known is None:
        choice = choose_precision(network, x, x, nn.functional.l1_loss)
    else:
        choice = PrecisionChoice(known, True, "chosen before")
    choice.prepare(network)
    note = f"{sum(p.numel() for p in network.parameters())} parameters, box {tuple(x.shape[2:])}, {choice.precision}"
    return _Step(network, x, volume.numel(), choice.precision, note)


def _layers_one_by_one(network: Autoencoder3d) -> Autoencoder3d:
    """Return the network with its parts as plain sequences of PyTorch's layers: what somebody would write down."""
    network.encoders = nn.ModuleList(nn.Sequential(*part) for part in network.encoders)
    # the usual last layer; its weights are those of the transposed convolution, mirrored
    up, relu, last = network.head
    end = nn.Conv3d(last.in_channels, 1, 3, padding=1)
    end.weight.data = last.weight.data.flip(2, 3, 4).transpose(0, 1).contiguous()
    end.bias.data = last.bias.data
    network.head = nn.Sequential(up, relu, end)
    return network


@cache
def _head(*, quick: bool) -> Tensor:
    """Return smooth random tissue in the box of the template's grey matter, 0 elsewhere; ``(1, 1, x, y, z)``."""
    from kotowari.studies.brain.phantom_grid import brain_grid

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mask = brain_grid(8.0 if quick else 1.5).mask
    shape = (25, 29, 25) if quick else (121, 145, 121)
    full = np.zeros(shape, dtype=bool)
    own = tuple(slice(0, min(a, b)) for a, b in zip(shape, mask.shape, strict=True))
    full[own] = mask[own]
    coarse = torch.rand(1, 1, 12, 14, 12, generator=torch.Generator().manual_seed(0))
    tissue = nn.functional.interpolate(coarse, shape, mode="trilinear", align_corners=True)
    return tissue * torch.from_numpy(full)


def _alone(kind: str, precision: str, volume: Tensor) -> dict[str, Any]:
    """Run some steps in a process that has made nothing else, so that it holds no freed memory to hide them in."""
    with TemporaryDirectory() as name:
        path = Path(name) / "volume.npy"
        np.save(path, volume.numpy())
        command = [sys.executable, __file__, "--alone", kind, "--precision", precision, "--volume", str(path)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _peak_mib() -> float:
    """Return the peak of this process; that of ``getrusage`` is handed on by a large parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise NotMeasured("Peak memory is read from /proc, which this system does not have.")
    lines = status.read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Run some steps of one kind alone in its process and print losses and memory as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volume", type=Path, help="npy file, shape (1, 1, x, y, z)", required=True)
    parser.add_argument("--alone", metavar="KIND", choices=_KINDS, required=True)
    parser.add_argument("--precision", help="of ours", required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    volume = torch.from_numpy(np.load(given.volume))
    before = _peak_mib()
    step = _step_of(given.alone, volume, _BLOCKS, _CHANNELS, given.precision)
    losses = [step() for _ in range(3)]
    print(json.dumps({"losses": losses, "mib": _peak_mib() - before}))


if __name__ == "__main__":
    main()
