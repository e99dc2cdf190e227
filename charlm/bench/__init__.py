"""`python -m charlm.bench`: side-by-side measurements, printed as Markdown tables."""
