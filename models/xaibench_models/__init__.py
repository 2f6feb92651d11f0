"""Architectures, and the trainer that gives them weights."""
