"""The estimators of the study."""
