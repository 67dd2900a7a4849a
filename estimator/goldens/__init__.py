"""Goldens: what each estimate was when somebody last looked, and the inputs it was made from."""
