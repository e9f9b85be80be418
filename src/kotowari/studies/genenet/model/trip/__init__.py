"""Prediction from networks, and the part of every edge in it."""
