"""The stack of networks, and tensor reconstruction-based interpretable prediction (TRIP) on it."""
