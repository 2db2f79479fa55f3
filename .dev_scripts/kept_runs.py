"""What the scripts share that train by ``tools/benchmark.py``, and keep runs in a CSV file."""

import csv
import subprocess


def read_runs(path, key):
    """All runs of a CSV file, by the columns that identify them."""
    if not path.exists():
        return {}
    with open(path, newline='') as file:
        return {tuple(row[name] for name in key): row for row in csv.DictReader(file)}


def write_runs(path, columns, runs):
    """Write them in the order of what identifies them."""
    # What fails half way must not take the others with it.
    written = path.with_suffix('.tmp')
    with open(written, 'w', newline='') as file:
        writer = csv.DictWriter(file, columns, lineterminator='\n')
        writer.writeheader()
        writer.writerows(runs[key] for key in sorted(runs))
    written.replace(path)


def run(command, **options):
    """Run a benchmark and return its status; an interruption ends its trainings first."""
    process = subprocess.Popen([str(word) for word in command], **options)
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
