"""What a step asks of a GPU: synchronisations, kernels, and how long these keep it busy."""

import json
import re
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

SYNCHRONISING = re.compile('called a synchronizing (CUDA|XPU) operation')
ON_GPU = ('kernel', 'gpu_memcpy', 'gpu_memset')


class Places(Counter):
    """Numbers of synchronisations by the place in the code, as ``file:line``."""

    @property
    def number(self):
        return sum(self.values())

    def note(self, message):
        """Count a warning, if it is one of a synchronisation."""
        if SYNCHRONISING.search(str(message.message)):
            *_, folder, file = Path(message.filename).parts
            self[f'{folder}/{file}:{message.lineno}'] += 1


@contextmanager
def synchronisations():
    """Count how often the host waits for the GPU within the context.

    PyTorch warns of each operation that it knows to wait (``torch.cuda.set_sync_debug_mode``).

    Yields:
        Places: Filled when the context ends.
    """
    import torch

    places = Places()
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for message in caught:
        places.note(message)


@contextmanager
def trace():
    """Profile what runs within the context.

    Yields:
        list[dict]: Events as of Chrome's tracing, filled when the context ends.
    """
    import torch

    events = []
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        yield events
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        profile.export_chrome_trace(str(path))
        events += json.loads(path.read_text(encoding='utf-8'))['traceEvents']


def figures(events, steps):
    """Figures of one of several steps.

    Args:
        events (list[dict]): Of :func:`trace`.
        steps (int): How many steps they are of.

    Returns:
        dict: ``kernels``, ``copies`` (and fills), ``launches`` (calls that start a kernel or a
        graph) and ``operators`` (of PyTorch, on the host) a step; ``busy_ms``, milliseconds a step
        in which the GPU does something; and ``longest``, the names of the kernels that take most
        of it, with their share.
    """
    events = [event for event in events if event.get('ph') == 'X']
    kinds = Counter(event.get('cat') for event in events)
    on_gpu = [event for event in events if event.get('cat') in ON_GPU]
    runtime = ('cuda_runtime', 'cuda_driver')
    launches = sum(
        event.get('cat') in runtime and 'Launch' in event.get('name', '') for event in events
    )
    total = Counter()
    for event in on_gpu:
        total[event['name']] += event['dur']
    whole = sum(total.values())
    return dict(
        kernels=kinds['kernel'] / steps,
        copies=(kinds['gpu_memcpy'] + kinds['gpu_memset']) / steps,
        launches=launches / steps,
        operators=kinds['cpu_op'] / steps,
        busy_ms=covered((event['ts'], event['ts'] + event['dur']) for event in on_gpu)
        / 1000
        / steps,
        longest={name[:80]: time / whole for name, time in total.most_common(5)} if whole else {},
    )


def covered(spans):
    """Length of the union of spans (begin, end)."""
    length, reach = 0.0, float('-inf')
    for begin, end in sorted(spans):
        length += max(0.0, end - max(begin, reach))
        reach = max(reach, end)
    return length
