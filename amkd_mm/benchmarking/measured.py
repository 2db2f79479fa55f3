"""Run a command and note its peak memory: ``python measured.py NOTES COMMAND...``.

The kernel knows the peak of a process that has ended, which looking at one that runs would miss.
But a process inherits the peak of the one that starts it, so this one has to be small: it imports
only a little of the standard library. And it outlives a killed ``tools/benchmark.py``.
"""

import json
import resource
import signal
import subprocess
import sys
import time


def main() -> int:
    """Append a line to NOTES: seconds, MiB of the largest process, exit code."""
    notes, *command = sys.argv[1:]
    # Whoever ends this ends the command, too, and waits for the note.
    signal.signal(signal.SIGTERM, lambda *_: None)
    started = time.time()
    code = subprocess.call(command)
    seconds = time.time() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # Bytes on macOS, KiB elsewhere.
    peak /= 2**20 if sys.platform == 'darwin' else 2**10
    with open(notes, 'a', encoding='utf-8') as file:
        file.write(json.dumps(dict(seconds=seconds, peak_rss_mib=peak, exit_code=code)) + '\n')
    return code if code >= 0 else 128 - code


if __name__ == '__main__':
    sys.exit(main())
