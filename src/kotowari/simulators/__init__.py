"""Mathematical models whose constants can be learned."""
