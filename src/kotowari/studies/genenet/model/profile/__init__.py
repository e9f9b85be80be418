"""How the networks of all samples are estimated: modulator, kernels, moments, paths, pooling, blocks."""
