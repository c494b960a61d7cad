"""QR codes, drawn into the page: no picture to fetch, no style of its own."""

from __future__ import annotations

from functools import lru_cache

import segno
from markupsafe import Markup


@lru_cache(maxsize=256)
def drawn(text: str) -> Markup | None:
    """The code as SVG, dark on a light ground in both themes, as cameras want it. None for more than a code can hold."""
    try:
        # Capital letters alone make a smaller code; wallets and addresses that allow it send them so.
        code = segno.make(text, error="m", micro=False)
    except segno.DataOverflowError:
        return None
    svg = code.svg_inline(scale=4, border=4, dark="#1e1b18", light="#ffffff", omitsize=True, svgclass="qr-code")
    return Markup(svg)  # noqa: S704 - drawn here, from nothing but squares
