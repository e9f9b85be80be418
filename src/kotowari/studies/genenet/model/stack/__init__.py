"""Networks of many samples: how they are held, looked at and written."""
