"""Run a command and note its peak memory: ``python measured.py NOTES COMMAND...``.

A process inherits the peak memory of the one that starts it, so the one that starts a training must
be small: this one imports nothing but a little of the standard library. It also outlives
``tools/benchmark.py``, so that what a run took is noted even if that was killed.
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
    # Whoever ends the group ends the command; this waits for that, to note it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    started = time.time()
    code = subprocess.call(command)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # Bytes on macOS, KiB elsewhere.
    peak /= 2**20 if sys.platform == 'darwin' else 2**10
    with open(notes, 'a', encoding='utf-8') as file:
        note = dict(seconds=time.time() - started, peak_rss_mib=peak, exit_code=code)
        file.write(json.dumps(note) + '\n')
    return code if code >= 0 else 128 - code


if __name__ == '__main__':
    sys.exit(main())
