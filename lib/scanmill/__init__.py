"""Scanmill: document images dropped in S3 become a Hugging Face dataset, and every image has one known fate."""

__version__ = "0.1.0"
