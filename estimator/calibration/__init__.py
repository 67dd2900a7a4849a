"""Refits a profile's constants from evidence, and says how well they extrapolate to what the fit has not seen."""
