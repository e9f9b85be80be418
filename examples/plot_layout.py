"""
Genes as pixels
===============

The 3,899 genes of the packaged colorectal tumours are laid out in the plane, alike ones side by side, and brought to
pixels in two ways: many genes to a pixel, as DeepInsight publishes it, and one pixel for every gene.
"""

import matplotlib.pyplot as plt
import numpy as np

from kotowari.datasets import load_tcga_colorectal
from kotowari.studies.omics import DeepInsightTransformer

tumours = load_tcga_colorectal()

# %%
# Fit the layout
# --------------
# In a study the layout is fitted on the training rows of every fold. Here there is nothing to predict, so all rows may
# be seen. The collision-free frame is the smallest square that holds every gene alone, with 5 % to spare.

alone = DeepInsightTransformer(layout="tsne", assignment="bisect", random_state=0).fit(tumours.X)
shared = DeepInsightTransformer(coordinates=alone.coordinates_, assignment="bin", shape=alone.shape_).fit(tumours.X)


def genes_in_company(transformer):
    """Return the share of the genes that are not alone in their pixel."""
    _, pixel, count = np.unique(transformer.groups_, return_inverse=True, return_counts=True)
    return float((count[pixel] > 1).mean())


height, width = alone.shape_
for name, transformer in (("one pixel a gene", alone), ("binned", shared)):
    n_pixels = len(np.unique(transformer.groups_))
    print(
        f"{name:<16} {n_pixels:>5,} of {height * width:,} pixels in use, "
        f"{genes_in_company(transformer):.1%} of the genes share theirs"
    )

# %%
# What it costs
# -------------
# A gene that gives way to another is moved. The mean squared shift stands beside a bound that no assignment can beat.

shift, bound = alone.shifts_[0]
print(f"mean squared shift {shift:.2f} squared pixels, at least {bound:.2f} whatever one does")

# %%
# One tumour, drawn twice
# -----------------------
# Both images are of the same tumour on the same frame, in the same units. Black pixels hold no gene.

figure, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
titles = ("one pixel a gene (bisect)", "genes share pixels (bin)")
for axis, transformer, title in zip(axes, (alone, shared), titles, strict=True):
    image = transformer.transform(tumours.X.iloc[:1])[0, 0]
    picture = axis.imshow(image, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    axis.set(title=title, xticks=[], yticks=[])
figure.colorbar(picture, ax=axes, label="scaled expression", shrink=0.8)
figure.suptitle(f"Tumour {tumours.X.index[0]}")
plt.show()
