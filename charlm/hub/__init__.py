"""The Hugging Face Hub: pushing, pulling and following models, and deploying the Space."""
