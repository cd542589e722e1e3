"""The price a group starts from, as a whole number of which all learn the largest.

Members may know different prices or none: one has just joined, two islands have merged. The price of the largest
magnitude among them serves all, so every member starts from the same one and nobody has to know who knew what.

The number is twice the magnitude in steps of 2^-22 of the price span, plus one for a negative price; 0 = no price. It
stays below 2^23 and so crosses exactly as float32.
"""

from __future__ import annotations

_STEPS = 2**22  # of the price span: too few to tell its end from the same rounded to float32


def start_code(price: float | None, span: float) -> float:
    """The number for a price; 0 for none, for zero and for what is no price of this group.

    A price at the end of the span or beyond it says nothing: that is where a group ends that could not meet its target.

    Args:
        price: [EUR/kWh], or None.
        span: prices lie inside plus and minus this [EUR/kWh].
    """
    if price is None or not abs(price) < span:
        return 0.0
    steps = round(abs(price) / span * _STEPS)
    return float(2 * steps + (price < 0.0)) if 0 < steps < _STEPS else 0.0


def start_price(code: float, span: float) -> float | None:
    """Inverse of `start_code`; None for no price.

    Args:
        code: any number of at least 0.
        span: as there [EUR/kWh].
    """
    steps, negative = divmod(int(code), 2)
    if not 0 < steps < _STEPS:
        return None
    price = steps * span / _STEPS
    return -price if negative else price
