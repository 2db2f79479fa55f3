"""Numbers that a config gives as they are, or as a share of a total."""


def resolve(value: int | float, total: int) -> float:
    """An int as it is, a float as that share of ``total``: a short run keeps its proportions."""
    # 0.55 of 100 epochs is 55.00000000000001, which epoch 55 would not have reached.
    return round(value * total, 6) if isinstance(value, float) else value
