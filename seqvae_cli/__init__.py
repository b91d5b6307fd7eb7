"""Sentence VAEs: a continuous latent space for whole sentences, from the command line and as a library."""

__version__ = "0.1.0"
