"""Figures on disk: PNG and SVG files, and one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from string import Template

import matplotlib
from matplotlib.figure import Figure

from slayerloss._check import ArgumentError, message
from slayerloss.io import replacing
from slayerloss.plot.style import section_of

PAGE = "report.html"


def report(
    figures: Mapping[str, Figure],
    path: str | PathLike[str],
    *,
    title: str,
    facts: Mapping[str, object] | None = None,
) -> Path:
    """Write each figure as PNG and SVG into a folder, and all of them into one self-contained page, `report.html`.

    A file is replaced when its new content is complete, the page last.

    Args:
        figures: file name without ending -> figure, in the order of the page. The heading and the caption are what
            `set_caption` attached; without a heading, it is the name with blanks for underscores. A caption that
            several figures share stands below the first of them.
        path: the folder; it is made if it is missing.
        title: of the page.
        facts: name -> value, a table at the top. A value of several lines becomes a block that the reader opens.

    Returns:
        The path of the page.

    Raises:
        ArgumentError: a name holds other characters than letters, digits, "_", "-" and ".".
        OSError: the folder cannot be made or written to.

    Example:
        >>> import tempfile
        >>> from slayerloss import plot
        >>> page = report({"spikes": plot.raster([[0, 1]]).figure}, tempfile.mkdtemp(), title="A run", facts={"T": 2})
        >>> sorted(file.name for file in page.parent.iterdir())
        ['report.html', 'spikes.png', 'spikes.svg']
    """
    for name in figures:
        if not re.fullmatch(r"[\w.-]+", name):
            rule = "letters, digits, '_', '-' and '.'"
            raise ArgumentError(message("report", "a figure's name is no file name", rule, repr(name)))
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    explained: dict[str, tuple[str, str]] = {}  # caption -> name and heading of the first figure that has it
    for name, figure in figures.items():
        drawn = {suffix: _draw(figure, suffix) for suffix in ("png", "svg")}
        for suffix, content in drawn.items():
            _write(folder / f"{name}.{suffix}", content)
        heading, caption = section_of(figure) or name.replace("_", " "), str(figure.get_label() or "")
        heading = heading[:1].upper() + heading[1:]
        first, above = explained.setdefault(caption, (name, heading))
        shown = f"To be read as '{above}' above." if caption and first != name else caption
        sections.append(_section(name, heading, shown, drawn["svg"]))
    page = _PAGE.substitute(title=html.escape(title), facts=_facts(facts or {}), figures="\n".join(sections))
    _write(folder / PAGE, page.encode())
    return folder / PAGE


def _draw(figure: Figure, suffix: str) -> bytes:
    """The content of an image file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "slayerloss"}):
        metadata = {"Date": None} if suffix == "svg" else None
        figure.savefig(buffer, format=suffix, dpi=200, facecolor="white", metadata=metadata)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _section(name: str, heading: str, caption: str, svg: bytes) -> str:
    text, heading = html.escape(caption), html.escape(heading)
    image = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    below = f"<figcaption>{text}</figcaption>\n" if text else ""
    shown = f'<figure>\n<img src="{image}" alt="{text or heading}">\n{below}</figure>'
    return f'<section id="{name}">\n<h2>{heading}</h2>\n{shown}\n</section>'


def _facts(facts: Mapping[str, object]) -> str:
    texts = {html.escape(str(name)): html.escape(str(value)) for name, value in facts.items()}
    rows = [f"<tr><th>{name}</th><td>{text}</td></tr>" for name, text in texts.items() if "\n" not in text]
    table = "<table>\n" + "\n".join(rows) + "\n</table>" if rows else ""
    blocks = [
        f"<details><summary>{name}</summary><pre>{text}</pre></details>" for name, text in texts.items() if "\n" in text
    ]
    return "\n".join([table, *blocks])


_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { --page: #fff; --ink: #222; --soft: #666; --line: #ddd; }
@media (prefers-color-scheme: dark) {
  :root { --page: #161616; --ink: #e4e4e4; --soft: #a0a0a0; --line: #3a3a3a; }
  /* White paper becomes the dark page, and every colour keeps its hue. */
  img { filter: invert(0.914) hue-rotate(180deg); }
}
body { margin: 0 auto; padding: 1rem; max-width: 44rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.2; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.5rem; }
figure { margin: 0; }
img { width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: 0.9rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 1rem 0.25rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
th { font-weight: normal; color: var(--soft); white-space: nowrap; }
summary { cursor: pointer; padding: 0.25rem 0; }
pre { overflow-x: auto; font-size: 0.85rem; }
</style>
</head>
<body>
<h1>$title</h1>
$facts
$figures
</body>
</html>
""")
