"""The text: tokenizer, corpus, batches, and the losses of counting models."""
