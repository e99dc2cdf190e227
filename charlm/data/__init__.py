"""The text: tokenizer, corpus, batches, and the losses that counting scores."""
