"""
A U-Net trained by a prior alone
================================

Twenty-four images of cells, and nobody has outlined one. What is known is that the slide looks alike in all images (its
matrix has low rank) and that cells cover few pixels (they are sparse). Written as a loss, that is enough to train a
network, which then finds cells in an image by itself, in one pass and without a background to compare with.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from kotowari.networks.unet import UNet
from kotowari.priors.losses import LowRankSparseLoss
from kotowari.training import TrainingPlan
from kotowari.training.by_prior import train_by_prior
from kotowari.trust import planted_scores

SIDE = 48
rng = np.random.default_rng(0)
torch.manual_seed(0)

# %%
# Images with a known truth
# -------------------------
# One slide under an illumination that tilts from image to image, three to six dark cells, counting noise. The truth is
# used for scoring only.

y, x = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5
slide = 1 + 0.04 * np.sin(9 * x + 4 * y) * np.cos(7 * y)
images, truth = np.zeros((32, 1, SIDE, SIDE)), np.zeros((32, SIDE, SIDE), dtype=bool)
for number in range(32):
    tilt = rng.uniform(-0.2, 0.2, 2)
    images[number, 0] = rng.uniform(0.75, 0.95) * slide * (1 + tilt[0] * x + tilt[1] * y)
    for _ in range(rng.integers(3, 7)):
        row, column, radius = *rng.uniform(-0.5, 0.5, 2), rng.uniform(0.07, 0.12)
        distance = np.hypot(y - row, x - column) / radius
        images[number, 0] -= rng.uniform(0.15, 0.3) / (1 + np.exp(8 * (distance - 1)))
        truth[number] |= distance <= 1
images = rng.poisson(800 * images.clip(0.02)) / 800
images = torch.tensor(images, dtype=torch.float32)

# %%
# Train
# -----
# No targets: the loss sees what the network found, S, and the images, D. It asks for D - S of low rank and S sparse and
# even. The network begins by finding nothing: one with drawn weights first throws its output down to nothing, and may
# stay there.

network = UNet(width=8, dual_frame=True, silent_start=True)
loss = LowRankSparseLoss()
history = train_by_prior(
    network,
    images,
    loss=loss,
    plan=TrainingPlan(max_epochs=60, patience=60, batch_size=24, learning_rate=2e-2, weight_decay=0.0),
    train_index=np.arange(24),
    validation_index=np.arange(0),
)
terms = ", ".join(f"{name} {value:.1f}" for name, value in history.parts.items())
print(f"terms of the loss: {terms}; {history.ratio:.3f} times the convex optimum; |S| / |D| = {history.share:.3f}")

# %%
# Does it find the cells?
# -----------------------
# In eight images that it has not seen, beside the distance to the median of all images.

unseen, hidden = images[24:], truth[24:]
with torch.no_grad():
    found = network(unseen)
median = unseen - images.median(0).values
for name, map_ in {"network": found, "distance to the median": median}.items():
    scores = planted_scores(map_.abs()[:, 0].numpy(), hidden)
    print(f"{name}: average precision {scores['average_precision']:.2f} (chance {scores['prevalence']:.2f})")

figure, axes = plt.subplots(3, 4, figsize=(9, 7), layout="constrained")
for column, number in zip(axes.T, range(4), strict=True):
    column[0].imshow(unseen[number, 0].numpy(), cmap="gray", vmin=0.2, vmax=1.1)
    picture = column[1].imshow(found[number, 0].numpy(), cmap="RdBu", vmin=-0.3, vmax=0.3)
    column[1].contour(hidden[number], levels=[0.5], colors="black", linewidths=0.6)
    column[2].imshow((unseen - found)[number, 0].numpy(), cmap="gray", vmin=0.2, vmax=1.1)
    for axis in column:
        axis.set(xticks=[], yticks=[])
for axis, name in zip(axes[:, 0], ("image D", "found S", "background D - S"), strict=True):
    axis.set_ylabel(name)
figure.colorbar(picture, ax=axes[1, :], label="intensity")
figure.suptitle("No outline was given; the black lines are the planted truth")
plt.show()
