"""The two models, model directories, and the format that transformers reads."""
