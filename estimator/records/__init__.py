"""Files that outlive a run: where they are, what is in them, and how they are written whole or not at all."""
