"""
A class activation map that adds up
===================================

Where in an image does the evidence for a class lie? For a network that ends in feature maps and a linear head the
answer needs no approximation: the mean of the map plus the bias of the head is the score.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from kotowari.explain import class_activation_map, target_scores, upsample
from kotowari.networks import InputScaling, SqueezeNetwork
from kotowari.training import TrainingPlan, class_weights, train, weighted_cross_entropy
from kotowari.trust import planted_scores

SIDE = 32
torch.manual_seed(0)
generator = torch.Generator().manual_seed(0)

# %%
# Images with a known truth
# -------------------------
# Noise everywhere; in the second class a striped patch of 8 x 8 pixels, somewhere.

labels = torch.arange(240) % 2
images = 0.5 * torch.randn(240, 1, SIDE, SIDE, generator=generator)
truth = torch.zeros(240, SIDE, SIDE, dtype=torch.bool)
stripes = torch.ones(8, 8)
stripes[::2] = -1
for number in torch.nonzero(labels).flatten().tolist():
    row, column = torch.randint(0, SIDE - 8, (2,), generator=generator).tolist()
    images[number, 0, row : row + 8, column : column + 8] += 1.5 * stripes
    truth[number, row : row + 8, column : column + 8] = True

# %%
# Train
# -----

network = SqueezeNetwork(InputScaling.identity((1, SIDE, SIDE)), 2)
history = train(
    network,
    images,
    torch.nn.functional.one_hot(labels, 2).float(),
    train_index=np.arange(160),
    validation_index=np.arange(160, 200),
    loss=weighted_cross_entropy(class_weights(labels[:160].numpy(), 2)),
    plan=TrainingPlan(max_epochs=25, learning_rate=3e-3),
)
unseen, own = images[200:], labels[200:]
accuracy = float((network(unseen).argmax(1) == own).float().mean())
print(f"accuracy on {len(unseen)} images kept aside: {accuracy:.2f}")

# %%
# The map and the score
# ---------------------
# The map is signed, in score units, and of the size of the last feature maps. It is not rescaled, so that one image may
# be compared with the next.

maps = class_activation_map(network, unseen, target=1)
scores = target_scores(network, unseen, 1)
error = (maps.mean((1, 2)) + network.head.bias[1] - scores).abs().max().detach()
print(f"maps of {tuple(maps.shape[1:])}; mean of the map + bias = score up to {float(error):.1e}")

# %%
# Does it point to the patch?
# ---------------------------
# Because the truth was planted, the map can be scored: the area under the ROC curve of its pixels, 0.5 by chance.

fine = upsample(maps, (SIDE, SIDE))
shown = torch.nonzero(own).flatten()
found = planted_scores(fine[shown].numpy(), truth[200:][shown].numpy())
print(
    f"pixels of the patch against the others: AUROC {found['auroc']:.2f}, "
    f"average precision {found['average_precision']:.2f} (chance {found['prevalence']:.2f})"
)

largest = float(fine.abs().max())
figure, axes = plt.subplots(2, 4, figsize=(9, 4.6), layout="constrained")
for (above, below), number in zip(axes.T, shown[:4].tolist(), strict=True):
    above.imshow(unseen[number, 0].numpy(), cmap="gray", interpolation="nearest")
    picture = below.imshow(fine[number].numpy(), cmap="RdBu_r", vmin=-largest, vmax=largest)
    below.contour(truth[200 + number].numpy(), levels=[0.5], colors="black", linewidths=0.8)
    for axis in (above, below):
        axis.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("image")
axes[1, 0].set_ylabel("map for class 1")
figure.colorbar(picture, ax=axes[1, :], label="score units")
figure.suptitle("One scale for all maps; the black line is the planted patch")
plt.show()
