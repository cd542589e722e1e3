"""Planes above the largest bid over a box of shares plugged in, one cluster of drivers per dimension."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Form, squared_deviation
from v2g_nodes.planning.market.platform import Platform


def bid_planes(
    platform: Platform, number: int, low: FloatArray, high: FloatArray, at: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """A plane above the bid over a box of shares, in every hour.

    A form's bid is concave and rising in N and falling, jointly concave, in the root w of D; w is a concave function of
    the shares. So a plane below w at the corners of the box is below it throughout, and with it the tangent plane of
    the bid is above. The larger of two forms and zero is covered by lifting the plane to all planes at all corners.

    Args:
        platform: the problem.
        number: of the requirement.
        low: smallest shares, shape (clusters, hours).
        high: largest shares.
        at: shares at which the plane is closest, inside the box; None: its middle.

    Returns:
        Intercepts (hours,) and slopes (clusters, hours) [kW].
    """
    picks: NDArray[np.bool_] = np.array(list(product((False, True), repeat=len(low))))
    corners = np.where(picks[:, :, None], high, low)
    middle = 0.5 * (low + high) if at is None else at
    planes = [_form_plane(platform, form, picks, corners, middle) for form in platform.forms[number]]
    values = [i + np.sum(s * corners, axis=1) for i, s in planes]
    near = [i + np.sum(s * middle, axis=0) for i, s in planes]
    other = near[1] > near[0]  # hour by hour
    intercept, slope = np.where(other, planes[1][0], planes[0][0]), np.where(other, planes[1][1], planes[0][1])
    below, above = np.where(other, values[1], values[0]), np.where(other, values[0], values[1])
    lift = np.maximum(np.maximum(above, 0.0) - below, 0.0).max(axis=0)
    return intercept + lift, slope


def _form_plane(
    platform: Platform, form: Form, picks: NDArray[np.bool_], corners: FloatArray, middle: FloatArray
) -> tuple[FloatArray, FloatArray]:
    vehicles = platform.vehicles[:, None]
    squared = np.array([np.sum(vehicles * squared_deviation(c, form.backward, platform.exact_deviation)[0], axis=0)
                        for c in corners])  # fmt: skip
    root = np.sqrt(squared)
    half = max(len(corners) // 2, 1)
    width = np.maximum(corners[-1] - corners[0], 1e-12)
    tilt = np.array([(root[picks[:, k]].sum(axis=0) - root[~picks[:, k]].sum(axis=0)) / half
                     for k in range(len(width))]) / width  # fmt: skip
    base = (root - np.sum(tilt * corners, axis=1)).min(axis=0)
    n0, w0 = np.sum(vehicles * middle, axis=0), np.maximum(base + np.sum(tilt * middle, axis=0), 1e-9)
    bid, by_n, by_d = form.bid(n0, w0**2)
    by_w = 2.0 * w0 * by_d
    return bid - by_n * n0 + by_w * (base - w0), by_n * vehicles + by_w * tilt
