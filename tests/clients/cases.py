"""Runs the calls of one client, and prints a line for each."""

import sys
import traceback

# The message of the gateway about a stream that broke after its first tokens.
BROKEN = "the stream of dying broke after 2 tokens"
_failed = []


def case(client, name, run, error=None, message=None):
    """Runs a call. Expects an error of the type `error` whose text contains `message`, if given."""
    try:
        result = run(f"{client}/{name}")
        problem = f"returned {result!r}, expected {error}" if error else None
    except Exception as raised:
        result = raised
        if error is None or not isinstance(raised, error):
            problem = "".join(traceback.format_exception(raised))
        elif message and message not in str(raised):
            problem = f"the message lacks {message!r}: {raised}"
        else:
            problem = None
    print(f"{'failed' if problem else 'ok':6} {client}/{name}: {str(problem or result)[-600:]}")
    if problem:
        _failed.append(name)


def end():
    sys.exit(bool(_failed))
