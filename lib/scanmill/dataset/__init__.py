"""What a Hugging Face dataset is made of: labels, splits, shards, manifests and the card."""
