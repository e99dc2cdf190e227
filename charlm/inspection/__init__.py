"""Inspection of a model's behaviour on a text."""
