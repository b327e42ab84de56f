"""Predictions that are not this service's own: brought in tasks, uploaded, or borrowed."""
