#!/bin/sh
# The six commands on the built-in corpus, in a home of its own: under three minutes on two cores.
set -eu

SEQVAE_HOME=$(mktemp -d)
export SEQVAE_HOME

step() {
    printf '\n$' >&2
    for word in "$@"; do
        case $word in *\ *) printf ' "%s"' "$word" >&2 ;; *) printf ' %s' "$word" >&2 ;; esac
    done
    printf '\n' >&2
    "$@"
}

step seqvae prepare toy --sentences 8000
step seqvae train --data toy --epochs 6 --name demo
step seqvae eval demo --samples 10
step seqvae encode "the council applauds the budget ." --run demo
step seqvae sample demo -n 5
step seqvae interpolate --random --start the --steps 7 --run demo
step seqvae interpolate "the council applauds the budget ." "did the young striker not reject the contract ?" --run demo

printf '\nTo go on with this model: export SEQVAE_HOME=%s\n' "$SEQVAE_HOME" >&2
