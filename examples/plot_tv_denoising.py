"""
Denoising with total variation
==============================

A picture of few edges stays a picture of few edges when noise is taken off it. Total variation says so; its proximal
map is the denoiser, and its answer carries a proof: the duality gap.
"""

import matplotlib.pyplot as plt
import torch

from kotowari.operators import Convolution, FiniteDifference
from kotowari.priors import GroupL2, NonNegative, Problem, SquaredL2, Term, TotalVariation

SIDE, NOISE = 128, 0.15
generator = torch.Generator().manual_seed(0)

# %%
# A phantom
# ---------
# Discs of different heights on a dark ground.

row, column = torch.meshgrid(torch.arange(SIDE) / SIDE, torch.arange(SIDE) / SIDE, indexing="ij")
clean = torch.zeros(SIDE, SIDE)
for y, x, radius, height in (
    (0.35, 0.3, 0.2, 0.6),
    (0.6, 0.65, 0.25, 0.4),
    (0.7, 0.3, 0.12, 0.9),
    (0.25, 0.75, 0.1, 1),
):
    clean += height * ((row - y) ** 2 + (column - x) ** 2 < radius**2)
noisy = clean + NOISE * torch.randn(SIDE, SIDE, generator=generator)

# %%
# One proximal map
# ----------------
# The first axis is the batch, so the same picture at several weights is one call: a step for each sample.

weights = torch.tensor([0.03, 0.15, 0.6])
denoised = TotalVariation().prox(noisy.expand(3, SIDE, SIDE), weights)


def error(picture):
    return float((picture - clean).square().mean().sqrt())


print(f"root mean square error: noisy {error(noisy):.3f}")
for weight, picture in zip(weights, denoised, strict=True):
    print(f"  weight {float(weight):.2f}: {error(picture):.3f}")

# %%
# The same prior behind a blur
# ----------------------------
# With an operator in front of the data and a second prior there is no closed form any more. The terms say what is
# known, a primal-dual method solves it, and the outcome says why it stopped.

kernel = torch.exp(-(torch.arange(-6, 7) ** 2) / 8.0)
kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
blur = Convolution(kernel, (SIDE, SIDE))
blurred = blur(clean[None]) + 0.02 * torch.randn(1, SIDE, SIDE, generator=generator)
problem = Problem(
    [
        Term(SquaredL2(centre=blurred), blur),
        Term(GroupL2(dims=(-3,)), FiniteDifference((SIDE, SIDE)), weight=0.005),
        Term(NonNegative()),
    ]
)
outcome = problem.solve(torch.zeros_like(blurred), tol=1e-4, max_steps=2000)
deblurred = outcome.state.x
print(f"blurred {error(blurred[0]):.3f}, deblurred {error(deblurred[0]):.3f}: {outcome.status.value}")

# %%

pictures = {
    "truth": clean,
    f"noisy, {error(noisy):.3f}": noisy,
    **{f"TV {float(w):.2f}, {error(p):.3f}": p for w, p in zip(weights, denoised, strict=True)},
    f"blurred, {error(blurred[0]):.3f}": blurred[0],
    f"deblurred, {error(deblurred[0]):.3f}": deblurred[0],
}
figure, axes = plt.subplots(2, 4, figsize=(11, 5.6), layout="constrained")
for axis in axes.flat:
    axis.set_axis_off()
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
    axis.imshow(picture.numpy(), cmap="gray", vmin=-0.2, vmax=1.4)
    axis.set_title(title, fontsize=10)
plt.show()
