"""The order of what is logged, when some values come and go."""

from mmengine.logging import MessageHub

# In the message hub, so that a resumed training goes on with it.
KEY = 'log_order'


def keep_log_order(message_hub: MessageHub) -> None:
    """Put the logged values back into the order in which they were when they first came.

    MMEngine logs them in the order in which they are in the hub, where one that was removed and
    comes again is the last. A new one follows those that share its group, which is what its name
    has up to the last ``/`` or ``.``.
    """
    order = message_hub.runtime_info.get(KEY, [])
    logged = message_hub.log_scalars
    for name in logged:
        if name in order:
            continue
        group = group_of(name)
        places = [place for place, known in enumerate(order) if group_of(known) == group]
        order.insert(places[-1] + 1 if group and places else len(order), name)
    if list(logged) != [name for name in order if name in logged]:
        for name in order:
            if name in logged:
                logged.move_to_end(name)
    message_hub.update_info(KEY, order)


def group_of(name: str) -> str:
    """What a value is part of; empty if it is none's, besides ``train`` or ``val``."""
    mode, _, rest = name.partition('/')
    end = max(rest.rfind('/'), rest.rfind('.'))
    return f'{mode}/{rest[:end]}' if end >= 0 else ''
