"""
Which genes spoke, and do they add up?
======================================

Three small networks learn microsatellite instability from the packaged tumours. Integrated gradients then say what each
gene gave to the score of a tumour that the networks have not seen, and a gap says how far the parts are from the whole.
"""

import matplotlib.pyplot as plt
import numpy as np

from kotowari.datasets import load_tcga_colorectal
from kotowari.studies.omics import DeepInsightClassifier, DeepInsightTransformer
from kotowari.trust import completeness_check, hold_out

tumours = load_tcga_colorectal()
target = tumours.annotations["msi_status"].to_numpy()
patients = tumours.annotations["patient"].to_numpy()

# %%
# Learn from some patients, keep the others aside
# -----------------------------------------------
# The 1,000 most variable genes are chosen on the training rows alone; layout, scaling and networks are fitted on them
# as well.

fold = hold_out(target, groups=patients, fraction=0.3, random_state=0)
variance = tumours.X.iloc[fold.train].var()
X = tumours.X[variance.nlargest(1000).index]

model = DeepInsightClassifier(transformer=DeepInsightTransformer(layout="pca", random_state=0), random_state=0).fit(
    X.iloc[fold.train], target[fold.train], groups=patients[fold.train]
)

unseen, truth = X.iloc[fold.test], target[fold.test]
predicted = model.predict(unseen)
recall = {name: float((predicted[truth == name] == name).mean()) for name in model.classes_}
print(f"{len(unseen)} tumours kept aside; found of each class: " + ", ".join(f"{k} {v:.2f}" for k, v in recall.items()))

# %%
# What each gene gave to the score
# --------------------------------
# Relevance is in log odds, signed and not rescaled, so that tumours may be compared. Its sum is the score less the
# score of the mean training image.

number = int(np.flatnonzero(model.classes_ == "MSI")[0])
relevance, gap = model.relevance(unseen, number)
check = completeness_check(gap)
print(check.verdict, "-", check.sentence)

# %%
# The genes of two tumours
# ------------------------
# The tumour with the highest and the one with the lowest score for MSI.

score = model.scores(unseen)[:, number]
figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained", sharex=True)
for axis, row in zip(axes, (score.argmax(), score.argmin()), strict=True):
    first = np.argsort(-np.abs(relevance[row]))[:12][::-1]
    colours = np.where(relevance[row, first] > 0, "#b2182b", "#2166ac")
    axis.barh(X.columns[first], relevance[row, first], color=colours)
    axis.axvline(0, color="0.3", linewidth=0.8)
    axis.set(title=f"score for MSI {score[row]:.2f}, is {truth[row]}", xlabel="relevance, log odds")
figure.suptitle("Genes that spoke for MSI (red) and against it (blue)")
plt.show()
