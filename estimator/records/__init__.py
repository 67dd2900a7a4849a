"""Records: what was measured, kept on disk, written whole or not at all."""
