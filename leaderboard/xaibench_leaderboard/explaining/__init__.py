"""`xaibench explain`: sheets, numbers and files for single films."""
