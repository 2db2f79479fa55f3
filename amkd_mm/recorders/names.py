"""What configs call recorders."""


def recorder_name(kind: str | type) -> str:
    """What a config calls a recorder, given that or its class: without ``Recorder`` at the end."""
    return kind.__name__.removesuffix('Recorder') if isinstance(kind, type) else kind
