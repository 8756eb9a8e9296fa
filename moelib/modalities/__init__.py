"""Images and words through one mixture of experts: how routing divides them, and its cost."""
