"""Laws of wavelets, Fourier transforms, coils and convolutions."""

import pytest
import torch

from kotowari.operators import coils, convolution, fourier, lattice, stft, wavelet
from kotowari.operators.coils import CoilSensitivity
from kotowari.operators.convolution import Convolution
from kotowari.operators.fourier import FourierSampling, FourierTransform
from kotowari.operators.lattice import LatticeWavelet
from kotowari.operators.linear import LinearOperator
from kotowari.operators.stft import ShortTimeFourier
from kotowari.operators.wavelet import Wavelet, WaveletTransform
from kotowari.testing.adjoint import assert_adjoint, assert_backward, assert_batched, assert_linear, assert_norm

DTYPES = [torch.float32, torch.float64, torch.complex64, torch.complex128]
MODULES = (coils, convolution, fourier, lattice, stft, wavelet)


def _draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


MASK = _draw(6, 5) > 0
CASES = {
    "wavelet, one axis": Wavelet((3, 32), "db4", levels=3, n_axes=1),
    "wavelet, one axis alone": Wavelet((40,), "sym5", n_axes=1),
    "wavelet, filter longer than the axis": Wavelet((4,), "db20", levels=2, n_axes=1),
    "wavelet, two axes": Wavelet((12, 20), "sym4", levels=2),
    "wavelet, two of three axes": Wavelet((2, 8, 6), "db2", levels=1),
    "wavelet, three axes": Wavelet((4, 8, 4), "db3", levels=2, n_axes=3),
    "lattice, free": LatticeWavelet((16,), _draw(4), levels=2, n_axes=1, vanishing_mean=False),
    "lattice, two axes": LatticeWavelet((8, 12), _draw(3), levels=2),
    "lattice, fixed": LatticeWavelet.from_filters("db2", (8, 8), levels=1, learn=False),
    "stft, even window": ShortTimeFourier(50, window_length=16, hop=4),
    "stft, odd window and uneven hop": ShortTimeFourier(37, window_length=9, hop=4, window="hamming"),
    "stft, no overlap": ShortTimeFourier(23, window_length=6, hop=6, window="rectangular"),
    "stft, signal shorter than window": ShortTimeFourier(3, window_length=8, hop=3, window="blackman"),
    "stft, given window": ShortTimeFourier(20, window_length=7, hop=2, window=1 + _draw(7).abs()),
    "stft, two-sided": ShortTimeFourier(30, window_length=8, hop=3, onesided=False),
    "fourier, all axes": FourierTransform((5, 6)),
    "fourier, last axis": FourierTransform((3, 8), 1),
    "fourier sampling": FourierSampling(MASK, (2, 6, 5)),
    "fourier sampling, three axes": FourierSampling(_draw(3, 4, 5) > 0, (3, 4, 5)),
    "fourier sampling, everything": FourierSampling(torch.ones(7, dtype=torch.bool), (7,)),
    "fourier sampling, nothing": FourierSampling(torch.zeros(4, 3, dtype=torch.bool), (4, 3)),
    "coils": CoilSensitivity(_draw(3, 4, 5, dtype=torch.complex128)),
    "coils, single precision": CoilSensitivity(_draw(3, 6, dtype=torch.complex64)),
    "coils in k-space": FourierSampling(MASK, (3, 6, 5)) @ CoilSensitivity(_draw(3, 6, 5, dtype=torch.complex64)),
    **{
        f"convolution, {boundary}, {anchor}, {'x'.join(map(str, shape))} on {'x'.join(map(str, domain))}": Convolution(
            _draw(*shape), domain, boundary=boundary, anchor=anchor
        )
        for boundary in ("periodic", "zero")
        for anchor in ("centre", "causal")
        for shape, domain in (
            ((2, 3, 5), (3, 11)),  # from many channels to few
            ((3, 2, 4), (2, 11)),  # from few to many
            ((3, 2, 66), (2, 70)),  # by way of Fourier
            ((4,), (2, 9)),
            ((3, 4), (2, 6, 7)),
            ((1, 2, 3, 2), (2, 5, 6)),
            ((2, 3, 2), (3, 4, 5)),
            ((1, 1, 2, 3, 2), (1, 3, 4, 5)),
        )
    },
    "convolution, wider than the axis": Convolution(_draw(2, 1, 9), (1, 4), boundary="zero"),
    "convolution, complex": Convolution(_draw(2, 3, 4, dtype=torch.complex64), (3, 9)),
    "convolution, learned": Convolution(_draw(1, 4, 6), (4, 12), boundary="zero", anchor="causal", learn=True),
}


def _rng():
    return torch.Generator().manual_seed(0)


PAIRS = [pytest.param(operator, dtype, id=f"{name}-{dtype}") for name, operator in CASES.items() for dtype in DTYPES]


@pytest.mark.parametrize(("operator", "dtype"), PAIRS)
def test_the_adjoint_is_exact(operator, dtype):
    assert_adjoint(operator, dtype, rng=_rng())


@pytest.mark.parametrize(("operator", "dtype"), PAIRS)
def test_the_operator_is_linear(operator, dtype):
    assert_linear(operator, dtype, rng=_rng())


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64], ids=str)
@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_the_norm_and_the_constants_are_those_of_the_matrix(operator, dtype):
    assert_norm(operator, dtype, rng=_rng())


@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_leading_axes_are_batch_axes(operator):
    assert_batched(operator, torch.float32, rng=_rng())


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
@pytest.mark.parametrize("operator", CASES.values(), ids=CASES)
def test_autograd_gives_the_adjoint(operator, dtype):
    assert_backward(operator, dtype, rng=_rng())


def test_every_public_operator_has_a_case():
    public = {getattr(module, name) for module in MODULES for name in module.__all__}
    operators = {thing for thing in public if isinstance(thing, type) and issubclass(thing, LinearOperator)}
    assert operators - {WaveletTransform} <= {type(operator) for operator in CASES.values()}


class Wrong(LinearOperator):
    """Forward of one operator, and whatever stands for its adjoint."""

    def __init__(self, operator, adjoint):
        super().__init__()
        self.operator, self.wrong = operator, adjoint
        self.domain, self.codomain, self.real_linear = operator.domain, operator.codomain, operator.real_linear

    def _forward(self, x):
        return self.operator(x)

    def _adjoint(self, y):
        return self.wrong(y)


_BLUR = Convolution(_draw(4), (9,))
_MAPS = _draw(3, 6, dtype=torch.complex128)
_SAMPLING = FourierSampling(MASK, (6, 5))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(Wrong(_BLUR, _BLUR), id="kernel not mirrored"),
        pytest.param(Wrong(CoilSensitivity(_MAPS), lambda y: (y * _MAPS).sum(-2)), id="maps not conjugated"),
        pytest.param(Wrong(_SAMPLING, FourierTransform((6, 5)).H), id="adjoint without the mask"),
        pytest.param(Wrong(_SAMPLING, _SAMPLING), id="transform not inverted"),
        pytest.param(Wrong(CASES["wavelet, two axes"], CASES["wavelet, two axes"]), id="analysis for synthesis"),
    ],
)
def test_a_wrong_adjoint_is_caught(wrong):
    with pytest.raises(AssertionError, match="relative gap"):
        assert_adjoint(wrong, torch.complex128, rng=_rng())


def test_a_spectrum_without_the_root_of_two_is_caught():
    wrong = ShortTimeFourier(50, window_length=16, hop=4)
    wrong.scale = torch.ones_like(wrong.scale)
    with pytest.raises(AssertionError, match="relative gap"):
        assert_adjoint(wrong, rng=_rng())


def test_a_window_that_is_not_tight_is_caught():
    wrong = ShortTimeFourier(50, window_length=16, hop=5)
    wrong.window = torch.hann_window(16, dtype=torch.float64) / (3 / 8 * 16 / 5) ** 0.5  # tight on average only
    with pytest.raises(AssertionError, match=r"norm\(\)|isometry"):
        assert_norm(wrong, rng=_rng())


def test_a_high_pass_without_its_signs_is_caught(monkeypatch):
    monkeypatch.setattr(wavelet, "mirror_filter", lambda low: low.flip(0))
    with pytest.raises(AssertionError, match=r"norm\(\)|isometry"):
        assert_norm(Wavelet((16,), "db2", levels=1, n_axes=1), rng=_rng())
