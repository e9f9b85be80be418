"""The short-time Fourier transform: exact at every length, and the spectra that others compute."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import ShortTimeFFT

from kotowari.core.errors import InputError
from kotowari.operators.stft import ShortTimeFourier


def _draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@given(length=st.integers(1, 60), window_length=st.integers(2, 20), share=st.floats(0, 1), onesided=st.booleans())
def test_the_adjoint_is_the_inverse_and_energy_is_kept_for_every_length(length, window_length, share, onesided):
    hop = 1 + int(share * (window_length // 2 - 1))
    stft = ShortTimeFourier(length, window_length=window_length, hop=hop, window="hamming", onesided=onesided)
    x = _draw(2, length)
    y = stft(x)
    torch.testing.assert_close(stft.adjoint(y).real, x, rtol=0, atol=1e-13)
    torch.testing.assert_close(y.abs().square().sum(), x.square().sum())


def test_synthesis_with_another_window_does_not_give_the_signal_back():
    stft = ShortTimeFourier(64, window_length=16, hop=4)
    other = ShortTimeFourier(64, window_length=16, hop=4, window="blackman")
    x = _draw(64)
    assert (other.adjoint(stft(x)) - x).abs().max() > 1e-3


@pytest.mark.parametrize(("window_length", "hop"), [(32, 8), (33, 10), (64, 16)])
def test_spectra_are_those_of_torch(window_length, hop):
    length = 400
    x = _draw(3, length)
    stft = ShortTimeFourier(length, window_length=window_length, hop=hop)
    theirs = torch.stft(
        x, window_length, hop, window=stft.window, center=False, normalized=True, return_complex=True
    )  # frames that lie within the signal
    first = stft.starts.index(0)
    ours = stft(x)[..., first : first + theirs.shape[-1]] / stft.scale[:, None]
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("onesided", [True, False])
def test_magnitudes_are_those_of_scipy(onesided):
    length, window_length, hop = 256, 32, 8
    x = _draw(length)
    stft = ShortTimeFourier(length, window_length=window_length, hop=hop, onesided=onesided)
    mode = "onesided" if onesided else "twosided"
    theirs = ShortTimeFFT(stft.window.numpy(), hop, fs=1.0, fft_mode=mode).stft(
        x.numpy(), p0=window_length // 2 // hop, p1=20
    )  # its frames are counted by their middle
    first = stft.starts.index(0)
    ours = stft(x)[:, first : first + theirs.shape[1]] / stft.scale[:, None] * window_length**0.5
    np.testing.assert_allclose(ours.abs().numpy(), np.abs(theirs), atol=1e-12)


def test_a_complex_signal_has_the_spectra_of_its_parts():
    stft = ShortTimeFourier(40, window_length=8, hop=2, onesided=False)
    x = _draw(40, dtype=torch.complex128)
    torch.testing.assert_close(stft(x), stft(x.real) + 1j * stft(x.imag))


def test_a_tone_lies_in_its_frequency():
    tone = torch.cos(2 * torch.pi * 5 * torch.arange(320, dtype=torch.float64) / 32)
    energy = ShortTimeFourier(320, window_length=32, hop=8)(tone).abs().square().sum(1)
    assert energy.argmax() == 5
    assert energy[4:7].sum() / energy.sum() > 0.98


def test_imaginary_parts_without_a_counterpart_have_no_effect_on_synthesis():
    stft = ShortTimeFourier(40, window_length=8, hop=4)
    y = stft(_draw(40))
    changed = y.clone()
    changed[[0, -1]] += 3j  # zero and Nyquist frequency of a real signal are real
    torch.testing.assert_close(stft.H(changed), stft.H(y))


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman"])
def test_named_windows_are_the_periodic_ones(name):
    given_window = getattr(torch, f"{name}_window")(24, dtype=torch.float64)
    by_name = ShortTimeFourier(50, window_length=24, hop=5, window=name)
    torch.testing.assert_close(
        by_name.window, ShortTimeFourier(50, window_length=24, hop=5, window=given_window).window, rtol=0, atol=1e-14
    )


def test_frames_start_at_multiples_of_the_hop_and_touch_the_signal():
    stft = ShortTimeFourier(10, window_length=6, hop=4)
    assert list(stft.starts) == [-4, 0, 4, 8]
    assert stft.codomain == (4, 4)


def test_single_precision_stays_single():
    stft = ShortTimeFourier(50, window_length=16, hop=4)
    y = stft(_draw(50, dtype=torch.float32))
    assert y.dtype == torch.complex64
    assert stft.adjoint(y).dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"window_length": 8, "hop": 9}, "hop from 1 to window_length"),
        ({"window_length": 8, "hop": 0}, "hop from 1 to window_length"),
        ({"window_length": 0, "hop": 1}, "1 or more"),
        ({"window_length": 8, "hop": 8}, "uncovered. Take a smaller hop"),
        ({"window_length": 8, "hop": 2, "window": "kaiser"}, "hann, hamming, blackman, rectangular or a tensor"),
        ({"window_length": 8, "hop": 2, "window": torch.ones(7)}, r"shape \(8,\)"),
        ({"window_length": 8, "hop": 2, "window": torch.ones(8, dtype=torch.long)}, "must be real"),
    ],
)
def test_options_that_make_no_frame_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        ShortTimeFourier(100, **options)


def test_a_one_sided_spectrum_of_a_complex_signal_is_refused():
    stft = ShortTimeFourier(20, window_length=8, hop=2)
    with pytest.raises(InputError, match="onesided=False"):
        stft(_draw(20, dtype=torch.complex64))
