"""Refits a profile's constants from evidence, and says how well they carry over to what the fit has not seen."""
