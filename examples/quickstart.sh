#!/bin/sh
# The six commands on the built-in corpus, in a home of its own: under three minutes on two cores.
set -eu

SEQVAE_HOME=${SEQVAE_HOME:-$(mktemp -d)}
export SEQVAE_HOME

step() {
    printf '\n$ %s\n' "$*" >&2
    "$@"
}

step seqvae prepare toy --sentences 8000
step seqvae train --data toy --epochs 6
step seqvae eval --samples 10
step seqvae sample -n 5
step seqvae interpolate "the council applauds the budget ." "did the young striker not reject the contract ?"
step seqvae interpolate --random --start the --steps 7
step seqvae encode "the council applauds the budget ."

printf '\nTo go on with this model: export SEQVAE_HOME=%s\n' "$SEQVAE_HOME" >&2
