"""The parts that learn from volumes, and the store that they read."""
