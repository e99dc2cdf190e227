"""Everything the page does, without Gradio: models, text generation, training jobs, limits."""
