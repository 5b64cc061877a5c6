"""Measurements of convfuzz, each against a baseline taken in the same run. ``make bench`` runs them all."""
