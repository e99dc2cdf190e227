"""The Hugging Face Hub: what is pushed there, what is pulled from there, and the Space."""
