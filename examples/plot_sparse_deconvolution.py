"""
Sparse deconvolution by an unrolled solver
==========================================

Ten steps of ISTA are a network of ten layers. Untrained, they are ISTA; trained, they get further in ten steps. The
knowledge guard tells what the learning did to the model that the network began as.
"""

import matplotlib.pyplot as plt
import torch

from kotowari.operators import Convolution
from kotowari.priors import L1
from kotowari.unrolled import Ista, KnowledgeGuard, Unrolled

LENGTH, DEPTH, WEIGHT = 128, 10, 0.03
generator = torch.Generator().manual_seed(0)

# %%
# Spikes seen through a slow pulse
# --------------------------------

pulse = torch.exp(-((torch.arange(-8, 9) / 1.5) ** 2))
pulse = pulse / pulse.norm()
blur = Convolution(pulse, (LENGTH,), boundary="zero")


def draw(n):
    spikes = torch.randn(n, LENGTH, generator=generator) * (torch.rand(n, LENGTH, generator=generator) < 0.06)
    return spikes, blur(spikes) + 0.03 * torch.randn(n, LENGTH, generator=generator)


spikes, seen = draw(100)
new_spikes, new_seen = draw(100)

# %%
# The layers
# ----------
# Every layer learns its own step, its own weight and its own pulse, all of which begin as the model's. Neither step nor
# weight can become negative, and no step can leave the range in which ISTA is stable.

learned_blur = Convolution(pulse.clone(), (LENGTH,), boundary="zero", learn=True)
network = Unrolled(Ista(learned_blur, L1(), weight=WEIGHT), DEPTH, free="all")
guard = KnowledgeGuard(network)


def error(x):
    return float((x - new_spikes).square().sum() / new_spikes.square().sum())


with torch.no_grad():
    before = network(new_seen)
    optimum = Unrolled(Ista(blur, L1(), weight=WEIGHT), 2000)(new_seen)
optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
for _ in range(120):
    optimizer.zero_grad()
    (network(seen) - spikes).square().mean().backward()
    optimizer.step()
with torch.no_grad():
    after = network(new_seen)
print("relative squared error on unseen signals:")
print(f"  10 steps of ISTA {error(before):.3f}, 2,000 steps {error(optimum):.3f}, 10 learned layers {error(after):.3f}")

# %%
# What was learned, and what it costs
# -----------------------------------
# The layers were trained to find spikes, not to solve the lasso. The guard says how far the constants went, and what
# that costs in the objective that the model began with.

for drift in guard.drift()[:3]:
    print(f"{drift.name}: {drift.start:.3g} -> {drift.now:.3g}")
print(guard.cost(new_seen).sentence)

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
left.plot(new_seen[0], color="0.7", label="seen")
left.plot(before[0], label="10 steps of ISTA")
left.plot(after[0], label="10 learned layers")
left.plot(new_spikes[0], "k.", markersize=4, label="truth")
left.set_xlabel("sample")
left.legend(fontsize=8)
layers = network.layers()
with torch.no_grad():
    right.plot([float(layer.step()) for layer in layers], "o-", label="step")
    right.plot([float(layer.weight()) for layer in layers], "s-", label="weight")
right.axhline(layers[0].step.start, color="C0", linestyle=":", label="the model's own")
right.axhline(WEIGHT, color="C1", linestyle=":")
right.set_yscale("log")
right.set_xlabel("layer")
right.legend(fontsize=8)
plt.show()
