"""MMPretrain's ``browse_dataset`` on current matplotlib."""

import inspect
from functools import wraps


def crop_figures_without_renderer():
    """Let ``adjust_bbox`` find the renderer itself, as before matplotlib 3.11.

    MMPretrain's ``browse_dataset`` calls it without one: ``TypeError: adjust_bbox() missing 1
    required positional argument: 'renderer'``. Not part of :func:`apply`, because only that tool
    needs it.
    """
    from matplotlib import _tight_bbox

    adjust_bbox = _tight_bbox.adjust_bbox
    if inspect.signature(adjust_bbox).parameters.get('renderer') is None:
        return

    @wraps(adjust_bbox)
    def adjust(fig, bbox_inches, renderer=None, fixed_dpi=None):
        renderer = fig.canvas.get_renderer() if renderer is None else renderer
        return adjust_bbox(fig, bbox_inches, renderer, fixed_dpi)

    _tight_bbox.adjust_bbox = adjust
