"""The figures of operators, priors, solvers and unrolled networks beside other libraries; README.md names every key."""

import sys
from functools import partial

import priors_faces
import priors_spectra
import priors_tv
import priors_unrolled
from harness import Figure, Figures, Part, import_seconds, peers, run

_FACES = ("none", "eps", "moreau", "target")

FIGURES = (
    Figure("tv_vs_skimage", "TV 512 x 512 to gap 1.5e-4, scikit-image double", at_least=17),
    Figure("tv_vs_pyproximal", "the same, PyProximal", at_least=8),
    Figure("tv_vs_deepinv", "TV to gap 3e-5, deepinv", at_least=6),
    Figure("svt_speedup", "SVT 64 x 65,536 single, torch SVD", at_least=20),
    Figure("svt_error", "its relative error", at_most=2e-7),
    Figure("rpca_speedup", "L+S of 64 x 256 x 256, full-SVD inexact ALM", at_least=8),
    Figure("nuclear_grad_speedup", "nuclear norm with gradient, matrix_norm", at_least=12),
    Figure("svt_grad_speedup", "SVT with gradient, autograd", at_least=6),
    Figure("svt_grad_error", "its error on repeated spectra, double", at_most=1e-8),
    Figure("tv_backward_speedup", "backward of the TV prox, unrolled", at_least=40),
    Figure("tv_backward_norm_ratio", "its norm by that of the incoming vector", at_most=1),
    Figure("ista_memory_ratio", "10 layers of ISTA, plain memory by ours", at_least=2.5),
    Figure("ista_time_ratio", "the same, our time by the plain one's", at_most=1),
    Figure("import_extra_s", "import of operators, beyond torch, s", at_most=0.3),
    *(Figure(f"faces_{face}_ap", f"cells without labels, {face} loss, AP", beside="faces_none_ap") for face in _FACES),
)


def import_time(quick: bool) -> Figures:
    """Time ``import kotowari.operators`` beyond ``import torch``."""
    added, bare = import_seconds("kotowari.operators", "import torch", rounds=3 if quick else 11)
    return {"import_extra_s": added, "import_torch_s": bare}


PARTS = (
    Part("import", ("import_extra_s",), import_time),
    Part("tv", ("tv_vs_skimage", "tv_vs_pyproximal", "tv_vs_deepinv"), priors_tv.denoising),
    Part("tv_backward", ("tv_backward_speedup", "tv_backward_norm_ratio"), priors_tv.backward),
    Part("svt", ("svt_speedup", "svt_error"), priors_spectra.thresholding),
    Part("nuclear", ("nuclear_grad_speedup",), priors_spectra.nuclear_gradient),
    Part("svt_grad", ("svt_grad_speedup", "svt_grad_error"), priors_spectra.thresholding_gradient),
    Part("rpca", ("rpca_speedup",), priors_spectra.low_rank_plus_sparse),
    Part("ista", ("ista_memory_ratio", "ista_time_ratio"), priors_unrolled.unrolled_ista),
    Part("faces", tuple(f"faces_{face}_ap" for face in _FACES), priors_faces.measure_faces),
    Part("peers", ("peers",), lambda quick: peers("priors", quick=quick)),
)

main = partial(run, "priors", FIGURES, PARTS, ("scikit-image", "pyproximal", "deepinv"))

if __name__ == "__main__":
    sys.exit(main())
