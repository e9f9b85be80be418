"""A solver's steps with learned parts."""
