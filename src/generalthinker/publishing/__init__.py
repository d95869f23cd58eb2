"""What is shared of a finished run: its adapter with the tokenizer, the prompt and a model card."""
