"""A sweep on a cluster that others run: what is asked of it, and what travels there and back."""
