"""Results as a person or a program reads them: one table with its writers, one format of figures, the page."""
