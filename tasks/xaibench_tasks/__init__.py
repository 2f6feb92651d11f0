"""Datasets with masks and splits, and the phantom."""
