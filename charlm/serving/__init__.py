"""What the page does, without Gradio: models, generations, training jobs, limits."""
