"""Linear maps with exact adjoints, real and complex, in batches, and learnable where that makes sense."""

from kotowari.operators.casorati import Casorati
from kotowari.operators.coils import CoilSensitivity
from kotowari.operators.convolution import Convolution
from kotowari.operators.difference import FiniteDifference
from kotowari.operators.elementary import Diagonal, FromFunctions, Identity, Matrix
from kotowari.operators.filters import lattice_angles, lattice_filter, low_pass_filter
from kotowari.operators.fourier import FourierSampling, FourierTransform
from kotowari.operators.interop import DeepinvView, to_dense, to_scipy
from kotowari.operators.lattice import LatticeWavelet
from kotowari.operators.linear import Adjoint, Composed, LinearOperator, Scaled, Stacked, Summed
from kotowari.operators.sampling import Mask, Sampling
from kotowari.operators.stft import ShortTimeFourier
from kotowari.operators.wavelet import Band, Wavelet, WaveletTransform, analysis, mirror_filter, synthesis

__all__ = [
    "Adjoint",
    "Band",
    "Casorati",
    "CoilSensitivity",
    "Composed",
    "Convolution",
    "DeepinvView",
    "Diagonal",
    "FiniteDifference",
    "FourierSampling",
    "FourierTransform",
    "FromFunctions",
    "Identity",
    "LatticeWavelet",
    "LinearOperator",
    "Mask",
    "Matrix",
    "Sampling",
    "Scaled",
    "ShortTimeFourier",
    "Stacked",
    "Summed",
    "Wavelet",
    "WaveletTransform",
    "analysis",
    "lattice_angles",
    "lattice_filter",
    "low_pass_filter",
    "mirror_filter",
    "synthesis",
    "to_dense",
    "to_scipy",
]
