"""Correct computations that are not those of the frameworks' kernels."""
