"""What the HTML pages of all commands share: the style sheet, and drawings as elements of a page."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))

CSS = """
body{margin:0;background:#f3f5f7;color:#1b2733;font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 20px 48px}
h1{font-size:26px;margin:0}h2{font-size:17px;margin:32px 0 10px}
header{display:flex;flex-wrap:wrap;gap:6px 16px;align-items:baseline}
.badge{padding:3px 12px;border-radius:99px;font-weight:600;color:#fff;background:#2a9d5c}.badge.bad{background:#c0392b}
.sub{color:#5b6b7a;margin:6px 0 18px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:10px}
.card,.plot,.table{background:#fff;border:1px solid #e2e7ec;border-radius:10px}
.card{padding:12px 14px}.card b{display:block;font-size:20px;font-variant-numeric:tabular-nums}
.card span{color:#5b6b7a;font-size:13px}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(480px,100%),1fr));gap:12px}
.plot{padding:8px 8px 2px}.plot svg{width:100%;height:auto;display:block}
.legend{display:flex;flex-wrap:wrap;gap:4px 14px;margin:10px 2px;font-size:13px;color:#5b6b7a}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:5px;vertical-align:-1px}
.table{overflow-x:auto}table{border-collapse:collapse;width:100%}
td{padding:5px 14px;border-top:1px solid #eef1f4}tr:first-child td{border-top:0}
td:nth-child(2){text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td:last-child{color:#5b6b7a}
ul{color:#5b6b7a;margin:6px 0;padding-left:20px}code{font-size:13px}
"""


def html_page(title: str, body: str) -> str:
    """A whole page that needs nothing else.

    Args:
        title: as HTML.
        body: what stands in it, as HTML.
    """
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{CSS}</style></head><body><main>
{body}
</main></body></html>
"""


def svg(figure: Figure, transparent: bool = False) -> str:
    """A drawing as an `<svg>` element, the same text for the same drawing."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=NO_METADATA, transparent=transparent)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
