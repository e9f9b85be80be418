"""The short-time Fourier transform as a tight frame."""

from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from kotowari.core.errors import InputError
from kotowari.operators.linear import LinearOperator

__all__ = ["ShortTimeFourier"]

_COSINES = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08), "rectangular": (1.0,)}
_LEAST_COVER = 1e-6  # squared window summed over the frames, least over largest sample; below, rounding is blown up


@final
class ShortTimeFourier(LinearOperator):
    r"""Spectra of overlapping windows of a signal, scaled to a tight frame: ``A.H(A(x)) == x`` for every length.

    .. math:: (Ax)_{f,k} = \frac{c_f}{\sqrt w} \sum_{t=0}^{w-1} v_t\, x_{s_k + t}\, e^{-2\pi i f t / w}, \quad
        v_t = \frac{u_t}{\sqrt{\sum_j u_{t + j h}^2}}

    The window u is replaced by the canonical tight window v, whose squares sum to 1 over the hops h. One-sided spectra
    keep the frequencies 0 to ``window_length // 2`` with :math:`c_f = \sqrt 2`, but 1 at zero and at the Nyquist
    frequency, which have no mirror image; two-sided ones have :math:`c_f = 1`. The frames start at multiples of the
    hop, and there are all that touch the signal (attribute ``starts``), which counts as zero outside; that makes the
    frame exact up to both ends.

    Parameters
    ----------
    length
        Samples of one signal: the domain is ``(length,)``, the codomain ``(frequencies, frames)``.
    window_length
        Samples w of the window, 1 or more.
    hop
        Samples h from one frame to the next, 1 to ``window_length``.
    window
        ``hann``, ``hamming``, ``blackman`` (all periodic) or ``rectangular``, or a real tensor of shape
        ``(window_length,)``.
    onesided
        True: real signals, and an operator that is linear over the reals. False: all frequencies of real or complex
        signals, linear over the complex numbers.

    Attributes
    ----------
    starts
        First sample of each frame; the earliest frames start before the signal.

    Raises
    ------
    InputError
        When a number is out of range, or the shifted windows leave a sample uncovered.

    Source: Daubechies, Grossmann and Meyer 1986, J. Math. Phys. 27(5) (tight frames of windows of bounded length).

    Examples
    --------
    >>> stft = ShortTimeFourier(100, window_length=16, hop=4)
    >>> x = torch.arange(100.0)
    >>> torch.allclose(stft.H(stft(x)), x, atol=1e-3)
    True
    """

    isometry = 1.0
    window: Tensor
    scale: Tensor

    def __init__(
        self, length: int, *, window_length: int, hop: int, window: str | Tensor = "hann", onesided: bool = True
    ) -> None:
        super().__init__()
        name = f"ShortTimeFourier({length})"
        if length < 1 or window_length < 1 or not 1 <= hop <= window_length:
            raise InputError(
                f"{name}: length and window_length must be 1 or more and hop from 1 to window_length, got "
                f"window_length={window_length}, hop={hop}."
            )
        self.window_length, self.hop, self.onesided = window_length, hop, onesided
        self.real_linear = onesided
        self._overlap = -(-window_length // hop)
        self.starts = range(-(self._overlap - 1) * hop, length, hop)
        n_frequencies = window_length // 2 + 1 if onesided else window_length
        self.domain, self.codomain = (length,), (n_frequencies, len(self.starts))
        tight = _tight_window(name, _window(name, window, window_length), hop)
        self.register_buffer("window", tight, persistent=False)
        self.register_buffer("scale", _frequency_scale(window_length, onesided), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        if self.onesided and x.is_complex():
            raise InputError(f"{self}: a one-sided spectrum needs a real signal, got {x.dtype}. Take onesided=False.")
        last = self.starts[-1] + self.window_length
        padded = functional.pad(x, (-self.starts[0], last - self.domain[0]))
        frames = padded.unfold(-1, self.window_length, self.hop) * self.window.to(x.real.dtype)
        spectra: Tensor = torch.fft.rfft(frames, norm="ortho") if self.onesided else torch.fft.fft(frames, norm="ortho")
        return (spectra * self.scale.to(x.real.dtype)).mT

    def _adjoint(self, y: Tensor) -> Tensor:
        # irfft counts each frequency of scale sqrt 2 twice, so to divide by the scale is the adjoint
        spectra = y.mT / self.scale.to(y.real.dtype)
        if self.onesided:
            frames = torch.fft.irfft(spectra, n=self.window_length, norm="ortho")
        else:
            frames = torch.fft.ifft(spectra, norm="ortho")
        first = -self.starts[0]
        return self._overlap_add(frames * self.window.to(y.real.dtype))[..., first : first + self.domain[0]]

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """``(..., frame, window) -> (..., sample)``: hop by hop, so that each addition is one large one."""
        overlap, hop = self._overlap, self.hop
        n_frames = frames.shape[-2]
        pieces = functional.pad(frames, (0, overlap * hop - self.window_length))
        total = frames.new_zeros(*frames.shape[:-2], n_frames + overlap - 1, hop)
        for number in range(overlap):
            total[..., number : number + n_frames, :] += pieces[..., number * hop : (number + 1) * hop]
        return total.flatten(-2)


def _window(name: str, window: str | Tensor, length: int) -> Tensor:
    if isinstance(window, Tensor):
        if window.shape != (length,) or not window.is_floating_point():
            raise InputError(
                f"{name}: window must be real with shape ({length},), got {window.dtype} with {tuple(window.shape)}."
            )
        return window.detach().double()
    if window not in _COSINES:
        raise InputError(f"{name}: window must be {', '.join(_COSINES)} or a tensor, got {window!r}.")
    angle = 2 * torch.pi * torch.arange(length, dtype=torch.float64) / length
    terms = [(-1) ** k * a * torch.cos(k * angle) for k, a in enumerate(_COSINES[window])]
    return torch.stack(terms).sum(0)


def _tight_window(name: str, window: Tensor, hop: int) -> Tensor:
    length = len(window)
    overlap = -(-length // hop)
    cover = functional.pad(window.square(), (0, overlap * hop - length)).reshape(overlap, hop).sum(0)
    if not float(cover.min()) > _LEAST_COVER * float(cover.max()):
        raise InputError(
            f"{name}: windows of {length} samples {hop} apart leave some samples uncovered. Take a smaller hop."
        )
    return window / cover.sqrt().repeat(overlap)[:length]


def _frequency_scale(window_length: int, onesided: bool) -> Tensor:
    if not onesided:
        return torch.ones(window_length, dtype=torch.float64)
    scale = torch.full((window_length // 2 + 1,), 2**0.5, dtype=torch.float64)
    scale[0] = 1.0
    if window_length % 2 == 0:
        scale[-1] = 1.0
    return scale
