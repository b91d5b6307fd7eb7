"""`python -m seqvae_cli` does what `seqvae` does."""

import sys

from seqvae_cli.app import main

if __name__ == "__main__":
    sys.exit(main())
