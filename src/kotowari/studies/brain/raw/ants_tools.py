"""The steps on a head by deepbet and ANTs, as libraries of the optional extra [prep]."""

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from kotowari.core.checks import require_extra
from kotowari.core.errors import ConvergenceError, InputError
from kotowari.core.files import fingerprint
from kotowari.studies.brain.model.grid import Grid
from kotowari.studies.brain.raw.template import MniTemplate
from kotowari.studies.brain.raw.tools import Deformation

__all__ = ["AntsTools", "itk_frame"]

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_BY = "Preparing raw heads"
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK counts millimetres to the left and to the back
_SEED = 1
_BIAS_SHRINK_MM = 4.0
_BIAS_STEPS = {"iters": [50, 50, 50, 50], "tol": 1e-7}
_SYN_STEPS = (40, 20, 10)
# a weight of 0 would begin with the priors only; without them deep grey matter goes to white
_PRIOR_WEIGHT = 0.25
_LEAST_PRIOR = 0.005
_FIELD, _STEPS = "[0.1,1x1x1]", "[8,0.0005]"


class AntsTools:
    """deepbet for the brain, N4, affine and SyN registration and Atropos of ANTs; see :class:`.tools.HeadTools`.

    Nothing is fetched: deepbet's weights lie in its wheel. One thread and one seed, so that a head gives the same
    result again. Temporary files, which hold pictures of the head, are written to a folder of this call and removed.

    Raises
    ------
    MissingExtraError
        When deepbet or antspyx is not installed.
    ConvergenceError
        From any step, when the program behind it fails.

    Source: Fisch et al. 2024, Comput. Biol. Med. 179:108845 (deepbet); Tustison et al. 2010, IEEE Trans. Med. Imaging
    29:1310-1320 (N4); Avants et al. 2008, Med. Image Anal. 12:26-41 (SyN); Avants et al. 2011, Neuroinformatics
    9:381-400 (Atropos).
    """

    def versions(self) -> Mapping[str, str]:
        """Return the versions of both programs, and what tells deepbet's weights apart."""
        weights = fingerprint(_weights())["sha256"]
        found = {name: metadata.version(name) for name in ("antspyx", "deepbet")}
        return found | {"deepbet weights": str(weights)[:16]}

    def brain_mask(self, head: Volume, grid: Grid) -> Mask:
        """Return deepbet's mask at its threshold of one half, on the CPU."""
        deepbet = require_extra("deepbet", extra="prep", by=_BY)
        nibabel = require_extra("nibabel", extra="prep", by=_BY)
        with _step("Brain extraction (deepbet)"), warnings.catch_warnings():
            # its weights are TorchScript, which torch would rather not read
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
            _, mask, _ = deepbet.BrainExtraction(no_gpu=True).run(nibabel.Nifti1Image(head, grid.affine))
            return np.asarray(mask.dataobj) > 0

    def without_bias(self, head: Volume, grid: Grid, mask: Mask) -> Volume:
        """Return the head after N4, whose field is found in the mask on a grid of about 4 mm."""
        ants = _ants()
        shrink = max(1, round(_BIAS_SHRINK_MM / float(np.mean(grid.voxel_mm))))
        with _step("Bias field (N4)"):
            where = _to_ants(ants, mask, grid)
            mended = ants.n4_bias_field_correction(
                _to_ants(ants, head, grid), mask=where, shrink_factor=shrink, convergence=_BIAS_STEPS
            )
            return np.asarray(mended.numpy(), dtype=np.float32)

    def register(self, brain: Volume, grid: Grid, template: MniTemplate, target: Grid) -> Deformation:
        """Return the deformation of an affine and a SyN stage, both by mutual information."""
        ants = _ants()
        with _step("Registration (SyN)"), _own_folder() as folder:
            fixed, moving = _to_ants(ants, template.brain, template.grid), _to_ants(ants, brain, grid)
            found = ants.registration(
                fixed, moving, type_of_transform="SyN", reg_iterations=_SYN_STEPS, outprefix=str(folder / "way_")
            )
            onto = _to_ants(ants, np.zeros(target.shape, np.float32), target)
            forth = ants.apply_transforms(onto, moving, found["fwdtransforms"], compose=str(folder / "forth_"))
            back = ants.apply_transforms(
                moving, fixed, found["invtransforms"], whichtoinvert=[True, False], compose=str(folder / "back_")
            )
            return Deformation(_displacement(ants, forth), _displacement(ants, back))

    def tissues(self, head: Volume, grid: Grid, mask: Mask, priors: Volume) -> Volume:
        """Return Atropos' probabilities, with the template's tissues as priors of weight one quarter."""
        ants = _ants()
        with _step("Segmentation (Atropos)"), _own_folder():
            held = np.clip(priors, _LEAST_PRIOR, 1 - _LEAST_PRIOR) * mask
            result = ants.atropos(
                _to_ants(ants, head, grid),
                _to_ants(ants, mask, grid),
                i=[_to_ants(ants, prior, grid) for prior in held],
                m=_FIELD,
                c=_STEPS,
                priorweight=_PRIOR_WEIGHT,
            )
            found = np.stack([image.numpy() for image in result["probabilityimages"]]) * mask
        if len(found) != len(priors):
            raise ConvergenceError(f"Segmentation (Atropos) found {len(found)} tissues in place of {len(priors)}.")
        return found.astype(np.float32)


def itk_frame(grid: Grid) -> tuple[list[float], list[float], npt.NDArray[np.float64]]:
    """Return origin, spacing and directions of a grid as ITK has them, millimetres to the left, back and top."""
    affine = _TO_LPS @ grid.affine
    sizes = np.array(grid.voxel_mm)
    return affine[:3, 3].tolist(), sizes.tolist(), affine[:3, :3] / sizes


def _ants() -> ModuleType:
    ants = require_extra("ants", extra="prep", by=_BY)
    ants.config.set_ants_deterministic(on=True, seed_value=_SEED)
    return ants


def _weights() -> Path:
    deepbet = require_extra("deepbet.utils", extra="prep", by=_BY)
    path = Path(deepbet.DATA_PATH) / "models" / "model.pt"
    if not path.is_file():
        raise InputError(f"{path}: the weights of deepbet are not there. Install deepbet again from its wheel.")
    return path


def _to_ants(ants: ModuleType, values: npt.NDArray[Any], grid: Grid) -> Any:
    origin, spacing, direction = itk_frame(grid)
    native = np.ascontiguousarray(values, dtype=np.float32)
    return ants.from_numpy(native, origin=origin, spacing=spacing, direction=direction)


def _displacement(ants: ModuleType, path: str) -> Volume:
    field = np.asarray(ants.image_read(path).numpy(), dtype=np.float32)
    turned: Volume = field * np.array([-1, -1, 1], dtype=np.float32)
    return turned


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Have every temporary file of the block, some of which ANTs forgets, in one folder that is removed."""
    usual = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="kotowari-") as folder:
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = usual


@contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # ANTs raises the bare class, deepbet fails on empty arrays and assertions
        told = " ".join(str(error).split()) or type(error).__name__
        raise ConvergenceError(f"{name} failed: {told}. Look at the scan; is it a whole T1 head?") from error
