"""The entry point: the console script `seqvae` and `python -m seqvae_cli` call `main`."""

import signal
import sys


def main() -> int:
    """Runs the command line of this process and returns its exit code.

    Ctrl-C before and after `boundary.main`, which handles it, ends the process by the signal, as it does other
    programs. Python's own handler would show a traceback of half an import or of the interpreter's last steps.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # where it is ignored, it stays ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from seqvae_cli.cli import boundary

    return boundary.main()


if __name__ == "__main__":
    sys.exit(main())
