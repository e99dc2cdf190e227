"""`python -m charlm.bench`: side-by-side measurements, printed as the README's tables."""
