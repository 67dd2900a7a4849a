"""Hardware profiles: what is known of a board (facts) and what was fitted on it (constants)."""
