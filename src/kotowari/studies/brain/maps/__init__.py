"""Where in the brain a prediction comes from: maps of a fitted pair of encoder and regression, with their controls."""
