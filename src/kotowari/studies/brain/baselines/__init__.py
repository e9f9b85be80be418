"""What a user would take instead of a trained network, and its matched trivial null, average pooling."""
