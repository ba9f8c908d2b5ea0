"""Training: the LoRA adapter and weighted supervised fine-tuning."""
