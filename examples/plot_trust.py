"""
Chance, stability, detection limit
==================================

Is it more than chance, would it come again, and what would have been missed? Three questions to any ranking of genes,
asked here of the simplest one there is, a difference of two means, on simulated data whose truth is known. The same
functions take the scores of a network.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np

from kotowari.trust import (
    detection_limit,
    max_t_p,
    permuted,
    planted_scores,
    pooled_p,
    q_values,
    run_implants,
    selection_stability,
    smallest_p,
    smallest_p_sentence,
    stability_check,
)

N_SAMPLES, N_GENES, N_PLANTED = 60, 500, 15
rng = np.random.default_rng(0)
y = np.repeat([0, 1], N_SAMPLES // 2)
planted = np.arange(N_GENES) < N_PLANTED
X = rng.standard_normal((N_SAMPLES, N_GENES)) + 1.2 * np.outer(y, planted)


def strength(table, labels):
    """Return the absolute t statistic of every gene."""
    one, other = table[labels == 1], table[labels == 0]
    error = np.sqrt(one.var(0, ddof=1) / len(one) + other.var(0, ddof=1) / len(other))
    return np.abs(one.mean(0) - other.mean(0)) / error


# %%
# More than chance?
# -----------------
# The whole analysis is repeated on permuted labels. How many repeats stand behind a p value bounds how small it can be,
# and a q value is refused where the repeats could not give one.

observed = strength(X, y)
null = np.array([strength(X, permuted(y, rng=rng)) for _ in range(199)])
print(smallest_p_sentence(len(null), n_pooled=N_GENES))

p = pooled_p(observed, null)
q = q_values(p, smallest=smallest_p(len(null), n_pooled=N_GENES))
family = max_t_p(observed, null)
print(q.sentence)
for name, found in (("q < 0.05", q.q < 0.05), ("family-wise p < 0.05", family < 0.05)):
    print(f"{name}: {int(found.sum())} genes, {int((found & ~planted).sum())} of them false")

alone = q_values(max_t_p(observed, null), smallest=smallest_p(len(null)))
print(alone.sentence)

# %%
# Would it come again?
# --------------------
# Bootstraps of the samples, the 20 strongest genes of each. The index is 1 for identical lists and 0 for random ones.


def top(scores, n_selected=20):
    """Mark the strongest genes."""
    return np.isin(np.arange(N_GENES), np.argsort(-scores)[:n_selected])


def bootstrap():
    """Draw samples with replacement, class by class."""
    return np.concatenate([rng.choice(np.flatnonzero(y == label), N_SAMPLES // 2) for label in (0, 1)])


stability = selection_stability([top(strength(X[rows], y[rows])) for rows in (bootstrap() for _ in range(20))])
print(stability_check(stability).sentence)
noise = selection_stability([top(row) for row in null[:20]])
print(f"the same for permuted labels: {noise.index:.2f}")

# %%
# What would have been missed?
# ----------------------------
# Effects of graded size are planted into the data and the analysis is run again. The smallest that is found often
# enough is the detection limit, which makes a negative result say something.


def plant(grade, generator):
    """Shift 15 genes of a random half of the samples by ``grade`` standard deviations."""
    labels = generator.permutation(y)
    truth = np.isin(np.arange(N_GENES), generator.choice(N_GENES, N_PLANTED, replace=False))
    return (generator.standard_normal(X.shape) + grade * np.outer(labels, truth), labels), truth


def precision(data, truth):
    """Return the share of the planted genes among the strongest."""
    return planted_scores(strength(*data), truth)["precision_at_k"]


grades = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
with TemporaryDirectory() as folder:
    shares = run_implants(plant, precision, grades, n_repeats=20, random_state=0, shards=Path(folder))
limit = detection_limit(grades, shares >= 0.5)
print(limit.sentence(f"these {N_SAMPLES} samples", f"half of a module of {N_PLANTED} genes shifted by {{grade}} sd"))

# %%
# In pictures
# -----------

figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
bins = np.linspace(0, observed.max(), 40)
axes[0].hist(null.ravel(), bins, density=True, color="0.75", label="permuted labels")
axes[0].hist(observed[~planted], bins, density=True, histtype="step", color="#2166ac", label="other genes")
axes[0].plot(observed[planted], np.full(N_PLANTED, -0.03), "|", color="#b2182b", markersize=12, label="planted genes")
axes[0].set(xlabel="absolute t", ylabel="density", title="Chance")
axes[0].legend(frameon=False)
axes[1].fill_between(limit.grades, limit.low, limit.high, color="0.85", label="95 % interval")
axes[1].plot(limit.grades, limit.frequency, "o", color="#2166ac", label="found")
axes[1].plot(limit.grades, limit.fitted, color="#2166ac", linewidth=1)
axes[1].axhline(limit.power, color="0.3", linestyle=":", label=f"power {limit.power:g}")
axes[1].set(xlabel="planted shift, sd", ylabel="share of repeats", title="Detection limit")
axes[1].legend(frameon=False)
plt.show()
