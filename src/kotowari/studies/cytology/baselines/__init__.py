"""What a user would take instead: each finds a foreground, and shares the instance stage with every other."""
