"""
Cells found without masks
=========================

Sixteen simulated images of stained nuclei, and nobody has outlined one. The clearest nuclei of each image are
put into its own background, where their places are known, and a network learns from that. It is held against Otsu's
threshold, and both end in the same instance stage, so that what differs is the foreground.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.segmentation import find_boundaries

from kotowari.studies.cytology import (
    CellDetector,
    CellSettings,
    Otsu,
    find_instances,
    find_stain,
    foreground_average_precision,
    match_instances,
    pooled_scores,
    score_image,
    simulate_cells,
)

N_LEARNED = 10
settings = CellSettings(n_images=16, height=128, width=160, kind="fluorescence", n_cells=(8, 24), n_per_slide=2)
slides = simulate_cells(settings, seed=3)
print(slides.description)

# %%
# Stain and polarity
# ------------------
# They are read off the images, one by one: bright cells on a dark background.

stains = [find_stain(image) for image in slides.images]
print({(stain.kind, stain.polarity) for stain in stains}, f"least sure: {min(stain.sure for stain in stains):.2f}")
polarity = stains[0].polarity

# %%
# Learn from images alone
# -----------------------
# Ten images of five slides. No label is given to ``fit``, and the other six images are of slides that it never sees.

detector = CellDetector(polarity=polarity, max_epochs=10, width=8, patch=96, n_scenes=192)
detector.fit(slides.images[:N_LEARNED], groups=slides.slides[:N_LEARNED])
loss = detector.history_.train_loss
print(f"cross-entropy of implanted cells: {loss[0]:.2f} in the first epoch, {loss[-1]:.2f} in the last")

# %%
# Two foregrounds, one instance stage
# -----------------------------------
# F1 counts cells that share half of the union of both areas, one to one. Average precision asks of the foreground alone
# how well it ranks pixels.

finders = {"cell detector": detector, "untrained": detector.untrained(0), "Otsu": Otsu()}
cells = {}
for name, finder in finders.items():
    scores, precision, cells[name] = [], [], []
    for image, truth in zip(slides.images[N_LEARNED:], slides.labels[N_LEARNED:], strict=True):
        foreground = finder.foreground(image)
        found = find_instances(foreground, finder.cut(foreground))
        scores.append(score_image(truth, found.labels))
        precision.append(foreground_average_precision(foreground, truth > 0))
        cells[name].append(found)
    pooled = pooled_scores(scores)
    print(
        f"{name:<14} F1 {pooled['f1']:.2f}, counts off by {100 * pooled['count_error']:.0f} %, "
        f"foreground AP {np.mean(precision):.2f}"
    )

# %%
# What was found, missed and invented
# -----------------------------------
# An image that was kept aside. Green: a nucleus of the truth that was found; blue: one that was missed; orange: an
# object that is no nucleus, or more than one.

shown = 4
image, truth = slides.images[N_LEARNED + shown], slides.labels[N_LEARNED + shown]
figure, axes = plt.subplots(2, 2, figsize=(9, 7.4), layout="constrained")
for column, name in zip(axes.T, ("cell detector", "Otsu"), strict=True):
    labels = cells[name][shown].labels
    match = match_instances(truth, labels)
    picture = np.repeat(np.sqrt(image), 3, axis=2)  # dim nuclei are to be seen as well
    for objects, own, colour in (
        (truth, match.pairs[:, 0], (0.1, 0.6, 0.3)),
        (truth, np.setdiff1d(truth[truth > 0], match.pairs[:, 0]), (0.1, 0.4, 0.9)),
        (labels, np.setdiff1d(labels[labels > 0], match.pairs[:, 1]), (0.95, 0.5, 0.0)),
    ):
        picture[find_boundaries(np.where(np.isin(objects, own), objects, 0), mode="inner")] = colour
    column[0].imshow(finders[name].foreground(image), cmap="cividis")
    column[0].set_title(f"foreground, {name}")
    column[1].imshow(picture)
    column[1].set_title(f"{match.tp} found, {match.fn} missed, {match.fp} invented")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
plt.show()
