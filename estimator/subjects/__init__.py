"""What can be estimated: models, patterns, and the chains of a calibration."""
