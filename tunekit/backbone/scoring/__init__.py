"""Scores of texts beyond plain encoding: positions that are read, shared sentences, continuations."""
