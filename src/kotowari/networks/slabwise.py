"""Layers of a volume that are computed slab by slab, and what lies between them made again in the backward pass."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["convolve_from_one", "double_relu_to_one", "norm_relu_convolve", "norm_relu_pool", "works_in_slabs"]

_LARGEST_SLAB = 1 << 21  # entries: a few MB, which a processor's cache holds and the allocator keeps for the next slab
_FEWEST_POSITIONS = 1 << 18
_backward: Any = torch.ops.aten.convolution_backward
_relu_backward: Any = torch.ops.aten.threshold_backward.grad_input
_norm_backward: Any = torch.ops.aten.native_batch_norm_backward
_pool_backward: Any = torch.ops.aten.max_pool3d_with_indices_backward


def works_in_slabs(x: Tensor, *norms: nn.BatchNorm3d, growth: int = 1) -> bool:
    """Return whether the functions of this module may stand in for the layers: for large volumes in training on a CPU.

    They save memory and, where a layer outgrows the cache, time; small volumes are faster without. Explanations, which
    may want hooks, are computed in evaluation mode and never come here.

    Parameters
    ----------
    x
        Input of the layers.
    norms
        Batch norms among them.
    growth
        How many positions one of the input becomes.
    """
    kept = all(norm.training and norm.affine and norm.momentum is not None for norm in norms)
    positions = growth * x.numel() // max(1, x.shape[1])
    return kept and positions >= _FEWEST_POSITIONS and torch.is_grad_enabled() and x.device.type == "cpu"


def convolve_from_one(x: Tensor, layer: nn.Conv3d) -> Tensor:
    """Convolve one channel with 3 voxels an axis, ``(batch, 1, *space) -> (batch, channel, *space)``.

    The gradient of the weights is computed as that of the transposed convolution, in a seventh of the time.
    """
    found: Tensor = _FromOne.apply(*_as_computed(x, layer.weight))  # type: ignore[no-untyped-call]  # its stub lacks a type
    return found


def norm_relu_convolve(x: Tensor, norm: nn.BatchNorm3d, layer: nn.Conv3d) -> Tensor:
    """Normalise by batch, take the positive part, convolve with 3 voxels an axis; only ``x`` is kept for the gradient.

    Parameters
    ----------
    x
        Shape ``(batch, channel, *space)``.
    norm
        In train mode; its running statistics move.
    layer
        Without a bias, stride 1, padding 1.
    """
    (weight,) = _as_computed(layer.weight)
    found: Tensor = _NormReluConvolve.apply(x, norm.weight, norm.bias, weight, norm)  # type: ignore[no-untyped-call]  # as above
    return found


def norm_relu_pool(x: Tensor, norm: nn.BatchNorm3d) -> Tensor:
    """Normalise by batch, take the positive part and the maximum of 2 voxels an axis; sides are even."""
    found: Tensor = _NormReluPool.apply(x, norm.weight, norm.bias, norm)  # type: ignore[no-untyped-call]  # as above
    return found


def double_relu_to_one(x: Tensor, up: nn.ConvTranspose3d, last: nn.ConvTranspose3d) -> Tensor:
    """Double every side, take the positive part, and lead to one channel; nothing of the full grid is kept.

    Parameters
    ----------
    x
        Shape ``(batch, channel, *space)``.
    up
        2 voxels an axis with a stride of 2.
    last
        To one channel, 3 voxels an axis with a stride of 1 and a padding of 1.
    """
    tensors = _as_computed(x, up.weight, _bias(up), last.weight, _bias(last))
    found: Tensor = _DoubleReluToOne.apply(*tensors)  # type: ignore[no-untyped-call]  # as above
    return found


class _Slab(NamedTuple):
    """Some samples, and the planes from ``first`` up to ``last`` of their first axis of space."""

    samples: slice
    first: int
    last: int

    def of(self, x: Tensor, times: int = 1) -> Tensor:
        """Return the slab of a tensor with ``times`` as many planes."""
        return x[self.samples, :, times * self.first : times * self.last]

    def with_neighbours(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the slab with a plane on both sides, and how many of the two do not exist on each side."""
        low, high = max(self.first - 1, 0), min(self.last + 1, x.shape[2])
        return x[self.samples, :, low:high], (low - self.first + 1, self.last + 1 - high)


def _slabs(x: Tensor, *, planes: int = 1, growth: int = 1) -> Iterator[_Slab]:
    """Yield slabs that cover ``x`` once, of a multiple of ``planes``; ``growth``: how many entries one becomes."""
    n_samples, depth = len(x), x.shape[2]
    if growth * x.numel() <= _LARGEST_SLAB:
        yield _Slab(slice(None), 0, depth)
        return
    in_plane = growth * x.numel() // (n_samples * depth)
    step = max(1, _LARGEST_SLAB // (in_plane * planes)) * planes
    for sample in range(n_samples):
        for first in range(0, depth, step):
            yield _Slab(slice(sample, sample + 1), first, min(first + step, depth))


class _Norm(NamedTuple):
    """A batch norm as one factor and one shift a channel."""

    mean: Tensor
    inverse_deviation: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def of_batch(cls, x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm3d) -> "_Norm":
        """Take mean and deviation from a batch, and move the running ones."""
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        mean, variance = torch.batch_norm_update_stats(x, norm.running_mean, norm.running_var, norm.momentum or 0.0)
        return cls(mean, (variance + norm.eps).rsqrt(), weight, bias)

    def positive(self, x: Tensor) -> Tensor:
        """Return the positive part of normalised values."""
        scale = self.weight * self.inverse_deviation
        return _affine(x, scale, self.bias - scale * self.mean).relu_()

    def parts(self, sums: list[Tensor], count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a, b, c of the gradient of the input: a times that of the output, plus b times the input, plus c.

        Sums are the gradients of weight and bias; ``count`` is the number of values of a channel.
        """
        a = self.weight * self.inverse_deviation
        b = -a * self.inverse_deviation * sums[0] / count
        return a, b, -a * sums[1] / count - b * self.mean


class _FromOne(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.conv3d(x, weight, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x = functional.conv_transpose3d(gradient, weight, padding=1) if ctx.needs_input_grad[0] else None
        return to_x, _convolution_gradients(x, gradient, weight, [False, True, False], transposed=True)[1]


class _NormReluConvolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, weight: Tensor, layer: nn.BatchNorm3d) -> Tensor:
        norm = _Norm.of_batch(x, scale, shift, layer)
        ctx.save_for_backward(x, weight, *norm)
        output = _Filled(x, len(weight))
        for slab in _slabs(x):
            seen, missing = slab.with_neighbours(x)
            output.put(slab, functional.conv3d(_planes(norm.positive(seen), missing), weight, padding=(0, 1, 1)))
        return output.whole()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *parts = ctx.saved_tensors
        norm, count = _Norm(*parts), x.numel() // x.shape[1]
        to_weight = torch.zeros_like(weight, dtype=_sum_dtype(weight))
        sums = [torch.zeros_like(norm.weight), torch.zeros_like(norm.bias)]
        # the transposed convolution, as the convolution that it is: CPUs have a faster one
        mirrored = weight.flip(2, 3, 4).transpose(0, 1).contiguous(memory_format=torch.channels_last_3d)
        passed = _Filled(x, x.shape[1])
        for slab in _slabs(x):
            seen, missing = slab.with_neighbours(x)
            values = norm.positive(seen)
            own = values[:, :, 1 - missing[0] : values.shape[2] - 1 + missing[1]]
            to_weight += _convolution_gradients(
                slab.of(gradient), _planes(values, missing), weight, [False, True, False], depth_padding=0
            )[1]
            around, absent = slab.with_neighbours(gradient)
            back = functional.conv3d(_planes(around, absent), mirrored, padding=(0, 1, 1))
            _relu_backward(back, own, 0, grad_input=back)
            constants = (norm.weight, None, None, norm.mean, norm.inverse_deviation, True, 0.0)
            found = _norm_backward(back, slab.of(x), *constants, [False, True, True])
            sums = [total + part for total, part in zip(sums, found[1:], strict=True)]
            passed.put(slab, back)
        to_x, (a, b, c) = passed.whole(), norm.parts(sums, count)
        for slab in _slabs(x):
            own = slab.of(to_x)
            torch.add(_affine(own, a, c), _affine(slab.of(x), b, torch.zeros_like(c)), out=own)
        return to_x, *sums, to_weight.to(weight.dtype), None


class _NormReluPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, layer: nn.BatchNorm3d) -> Tensor:
        norm = _Norm.of_batch(x, scale, shift, layer)
        pooled, places = [], []
        for slab in _slabs(x, planes=2):
            values, where = functional.max_pool3d(norm.positive(slab.of(x)), 2, return_indices=True)
            pooled.append(values)
            places.append(where.int())
        whole = _joined(pooled, x)
        ctx.save_for_backward(x, whole, *norm, *places)
        return whole

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, pooled, *rest = ctx.saved_tensors
        norm, places = _Norm(*rest[:4]), rest[4:]
        # what is not above 0 sends nothing back; then the sums over all voxels are those over the largest ones
        passed = torch.where(pooled > 0, gradient, 0)
        sums = [torch.zeros_like(norm.weight), torch.zeros_like(norm.bias)]
        slabs = list(zip(_slabs(x, planes=2), places, strict=True))
        for slab, where in slabs:
            largest = slab.of(x).flatten(2).gather(2, where.flatten(2).long())
            own = _half(slab).of(passed).flatten(2).to(norm.mean.dtype)
            centred = (largest - norm.mean[:, None]) * norm.inverse_deviation[:, None]
            sums[0] += (own * centred).sum((0, 2))
            sums[1] += own.sum((0, 2))
        a, b, c = norm.parts(sums, x.numel() // x.shape[1])
        to_x = torch.empty_like(x)
        for slab, where in slabs:
            own, spread = slab.of(x), _affine(_half(slab).of(passed), a, torch.zeros_like(c))
            back = _pool_backward(spread, own, [2] * 3, [2] * 3, [0] * 3, [1] * 3, False, where.long())
            torch.add(_affine(own, b, c), back, out=slab.of(to_x))
        return to_x, *sums, None


class _DoubleReluToOne(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, up: Tensor, up_bias: Tensor, last: Tensor, last_bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, up, up_bias, last)
        n_samples, _, *space = x.shape
        output = x.new_empty((n_samples, 1, *(2 * side for side in space)))
        eight = _eight_outputs(last)
        for slab in _slabs(x, growth=8):
            seen, missing = slab.with_neighbours(x)
            doubled = functional.conv_transpose3d(seen, up, up_bias, stride=2).relu_()
            doubled = doubled[:, :, 1 - missing[0] : doubled.shape[2] - 1 + missing[1]]
            parts = functional.conv3d(_planes(doubled, missing), eight, stride=2, padding=(0, 1, 1))
            slab.of(output, 2)[:] = _interleaved(parts).add_(last_bias)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, up, up_bias, last = ctx.saved_tensors
        n_in, n_out = up.shape[:2]
        sums = [torch.zeros(shape, dtype=_sum_dtype(x)) for shape in ((n_in, 8 * n_out), (8 * n_out,), last.shape)]
        matrix = up.permute(0, 2, 3, 4, 1).reshape(n_in, -1)
        to_x = torch.empty_like(x)
        for slab in _slabs(x, growth=8):
            own = slab.of(x)
            doubled = functional.conv_transpose3d(own, up, up_bias, stride=2).relu_()
            fine = slab._replace(first=2 * slab.first, last=2 * slab.last)
            around = _planes(*fine.with_neighbours(gradient))
            back, to_last, _ = _convolution_gradients(
                around, doubled, last, [True, True, False], transposed=True, depth_padding=0
            )
            _relu_backward(back, doubled, 0, grad_input=back)
            rows = _gathered(back)
            entries = own.permute(0, 2, 3, 4, 1)
            slab.of(to_x)[:] = (rows @ matrix.T).view(entries.shape).permute(0, 4, 1, 2, 3)
            for total, part in zip(sums, (entries.reshape(-1, n_in).T @ rows, rows.sum(0), to_last), strict=True):
                total += part
        to_up = sums[0].view(n_in, 2, 2, 2, n_out).permute(0, 4, 1, 2, 3)
        to_bias = sums[1].view(8, n_out).sum(0)
        found = (to_up, to_bias, sums[2], gradient.sum(dtype=_sum_dtype(x)).reshape(1))
        return to_x, *(part.to(x.dtype) for part in found)


class _Filled:
    """An array that is filled slab by slab, laid out as the first slab is; a single slab is the array itself."""

    def __init__(self, like: Tensor, n_channels: int) -> None:
        self._shape = (len(like), n_channels, *like.shape[2:])
        self._whole: Tensor | None = None

    def put(self, slab: _Slab, values: Tensor) -> None:
        """Take the values of a slab."""
        if values.shape == self._shape:
            self._whole = values
            return
        if self._whole is None:
            last = values.is_contiguous(memory_format=torch.channels_last_3d)
            layout = torch.channels_last_3d if last else torch.contiguous_format
            self._whole = torch.empty(self._shape, dtype=values.dtype, memory_format=layout)
        slab.of(self._whole)[:] = values

    def whole(self) -> Tensor:
        """Return the array."""
        if self._whole is None:
            raise RuntimeError("No slab was put into the array.")
        return self._whole


def _as_computed(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return tensors in the precision that autocast asks for, as convolutions would take them."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype("cpu")) for tensor in tensors)


def _bias(layer: nn.ConvTranspose3d) -> Tensor:
    return layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias


def _sum_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return ``scale x + shift`` by channel, rounded once."""
    return functional.batch_norm(x, torch.zeros_like(scale), torch.ones_like(scale), scale, shift, eps=0.0)


def _planes(x: Tensor, missing: tuple[int, int]) -> Tensor:
    """Add planes of zeros where neighbours are missing."""
    return functional.pad(x, (0, 0, 0, 0, *missing)) if any(missing) else x


def _half(slab: _Slab) -> _Slab:
    return slab._replace(first=slab.first // 2, last=slab.last // 2)


def _joined(parts: list[Tensor], x: Tensor) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    by_sample = len(parts) // len(x)
    samples = [torch.cat(parts[k : k + by_sample], dim=2) for k in range(0, len(parts), by_sample)]
    return samples[0] if len(samples) == 1 else torch.cat(samples)


def _convolution_gradients(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    wanted: list[bool],
    *,
    transposed: bool = False,
    depth_padding: int = 1,
) -> Any:
    """Return gradients of input, weights and bias of a convolution of 3 voxels an axis."""
    padding = [depth_padding, 1, 1]
    return _backward(gradient, x, weight, None, [1] * 3, padding, [1] * 3, transposed, [0] * 3, 1, wanted)


def _eight_outputs(weight: Tensor) -> Tensor:
    """Return the weights of the convolution with a stride of 2 that gives the 8 voxels of a cell as 8 channels.

    To one channel a convolution costs as much as to sixteen; 8 channels at an eighth of the places cost a third.
    """
    mirrored = weight.flip(2, 3, 4).transpose(0, 1)
    corners = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    moved = [functional.pad(mirrored, (c, 1 - c, b, 1 - b, a, 1 - a)) for a, b, c in corners]
    return torch.cat(moved).contiguous(memory_format=torch.channels_last_3d)


def _interleaved(parts: Tensor) -> Tensor:
    """``(batch, 8, *space) -> (batch, 1, *twice the space)``."""
    n_samples, _, depth, height, width = parts.shape
    cells = parts.view(n_samples, 2, 2, 2, depth, height, width).permute(0, 4, 1, 5, 2, 6, 3)
    return cells.reshape(n_samples, 1, 2 * depth, 2 * height, 2 * width)


def _gathered(fine: Tensor) -> Tensor:
    """``(batch, channel, *even space) -> (cell, 8 channel)``: the voxels of each cell of 2 an axis side by side."""
    n_samples, n_channels, *space = fine.shape
    depth, height, width = (side // 2 for side in space)
    cells = fine.permute(0, 2, 3, 4, 1).reshape(n_samples, depth, 2, height, 2, width, 2, n_channels)
    return cells.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, 8 * n_channels)
