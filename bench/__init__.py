"""Figures beside their bars, and the documents made of them: programs that never fail for a speed (`tox -e bench`)."""
