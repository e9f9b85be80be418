"""
A video into background and what moves
======================================

Frames of a still scene, written as rows of a matrix, have low rank; what moves through it is sparse. Robust principal
components take the two apart without having seen either.
"""

import matplotlib.pyplot as plt
import torch

from kotowari.operators import Casorati
from kotowari.priors import robust_pca

FRAMES, SIDE = 40, 64
generator = torch.Generator().manual_seed(0)

# %%
# A scene
# -------
# A ramp whose light changes from frame to frame, and two discs that move.

row, column = torch.meshgrid(torch.arange(SIDE) / SIDE, torch.arange(SIDE) / SIDE, indexing="ij")
light = 1 + 0.3 * torch.sin(torch.arange(FRAMES) / 5)
background = light[:, None, None] * (0.4 + 0.4 * row + 0.1 * torch.sin(20 * column))
moving = torch.zeros(FRAMES, SIDE, SIDE)
for frame in range(FRAMES):
    for y, x, height in ((0.2 + 0.015 * frame, 0.3, 0.5), (0.7, 0.9 - 0.02 * frame, -0.4)):
        moving[frame] += height * ((row - y) ** 2 + (column - x) ** 2 < 0.06**2)
video = background + moving + 0.01 * torch.randn(FRAMES, SIDE, SIDE, generator=generator)

# %%
# Low rank plus sparse
# --------------------

to_matrix = Casorati((FRAMES, SIDE, SIDE), rows=(0,))
outcome = robust_pca(to_matrix(video), tol=1e-6)
low_rank, sparse = (to_matrix.H(part) for part in (outcome.state.low_rank[0], outcome.state.sparse[0]))
rank = int(torch.linalg.matrix_rank(to_matrix(low_rank), rtol=0.01))
print(f"{outcome.status.value} {outcome.n_steps[0]} steps; {rank} singular values above 1 % of the largest")


def share(found, truth):
    return float((found - truth).square().sum() / truth.square().sum())


print(f"error of the background {share(low_rank, background):.4f}, of what moves {share(sparse, moving):.3f}")

# %%

shown = (4, 20, 36)
figure, axes = plt.subplots(len(shown), 3, figsize=(7.5, 7), layout="constrained")
for axis in axes.flat:
    axis.set_axis_off()
for line, frame in zip(axes, shown, strict=True):
    for axis, title, part, low, high in zip(
        line, ("video", "low rank", "sparse"), (video, low_rank, sparse), (0, 0, -0.5), (1.5, 1.5, 0.5), strict=True
    ):
        axis.imshow(part[frame].numpy(), cmap="gray", vmin=low, vmax=high)
        axis.set_title(f"{title}, frame {frame}", fontsize=10)
plt.show()
