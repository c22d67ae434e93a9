"""The tutorials as pages: percent-cell scripts are read as notebooks, executed, and shown in a gallery."""

from __future__ import annotations

import html
import os
import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

import jupytext
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

SOURCE = Path(__file__).resolve().parents[2] / "tutorials"
RECORDINGS = SOURCE.parents[1] / "shared" / "data"
_TO_DOCS = re.compile(r"\]\(((?:\.\./)+)docs/")
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def read(text: str) -> Any:
    """A notebook of a percent-cell script."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata["kernelspec"] = KERNEL
    return notebook


def _prepare_kernel(app: Sphinx, _: object) -> None:
    """Settings of the kernel that runs the tutorials: figures in the resolution of today's screens, quiet, with data."""
    home = Path(app.outdir).parent / "ipython"
    (home / "profile_default").mkdir(parents=True, exist_ok=True)
    settings = 'c.InlineBackend.figure_formats = {"retina"}\nc.IPKernelApp.log_level = 40\n'
    (home / "profile_default" / "ipython_kernel_config.py").write_text(
        settings, encoding="utf-8"
    )
    os.environ["IPYTHONDIR"] = str(home)
    if RECORDINGS.is_dir():  # which the tutorials of lava-dl's networks look for
        os.environ.setdefault("SLAYERLOSS_DATA", str(RECORDINGS))
    os.environ.pop("MPLBACKEND", None)  # the kernel's own shows figures in the page


def _copy(app: Sphinx, _: object) -> None:
    """Copy the scripts to where Sphinx looks for pages. Links to the docs folder are links to pages there."""
    for script in sorted(SOURCE.rglob("*.py")):
        page = Path(app.srcdir) / "tutorials" / script.relative_to(SOURCE)
        text = _TO_DOCS.sub(r"](\1", script.read_text(encoding="utf-8"))
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.parent.mkdir(exist_ok=True)
            page.write_text(text, encoding="utf-8")


def _find_thumbnail(app: Sphinx, doctree: nodes.document) -> None:
    """Remember the figure of the cell that a tutorial tags `thumbnail`."""
    name = app.env.current_document.docname
    if not (Path(app.srcdir) / f"{name}.py").exists():
        return
    cells = [
        node
        for node in doctree.findall(nodes.container)
        if "tag_thumbnail" in node["classes"]
    ]
    pictures = [image["uri"] for cell in cells for image in cell.findall(nodes.image)]
    if len(pictures) != 1:
        raise ExtensionError(
            f"{name}: one figure has to be tagged thumbnail, got {len(pictures)}"
        )
    app.env.metadata[name]["thumbnail"] = pictures[0]


class gallery_card(nodes.General, nodes.Element):
    """A tutorial in the gallery: `page`, and `words` that say what is in it."""


class Gallery(SphinxDirective):
    """`{gallery}`: a line `PAGE: what is in it` for each tutorial."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """A container of cards, which are drawn when the titles are known."""
        folder = posixpath.dirname(self.env.current_document.docname)
        cards = nodes.container(classes=["gallery"])
        for line in self.content:
            page, words = line.split(": ", 1)
            cards += gallery_card(page=posixpath.join(folder, page), words=words)
        return [cards]


def _visit_card(writer: Any, node: gallery_card) -> None:
    app, page = writer.builder.app, node["page"]
    pictures = "../" * writer.builder.current_docname.count("/") + "_images/gallery"
    title = app.env.titles[page].astext()
    writer.body.append(
        f'<a href="{writer.builder.get_relative_uri(writer.builder.current_docname, page)}">'
        f'<img src="{pictures}/{posixpath.basename(page)}.png" alt="">'
        f"<strong>{html.escape(title)}</strong><span>{html.escape(node['words'])}</span></a>"
    )
    raise nodes.SkipNode


def _write_thumbnails(app: Sphinx, error: Exception | None) -> None:
    """Put the thumbnails where the gallery looks for them."""
    if error is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_images" / "gallery"
    folder.mkdir(parents=True, exist_ok=True)
    for name, metadata in app.env.metadata.items():
        if "thumbnail" in metadata:
            shutil.copyfile(
                Path(app.srcdir) / metadata["thumbnail"], folder / f"{Path(name).name}.png"
            )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("gallery", Gallery)
    app.add_node(gallery_card, html=(_visit_card, None))
    app.connect("config-inited", _copy)
    app.connect("config-inited", _prepare_kernel)
    app.connect("doctree-read", _find_thumbnail, priority=900)
    app.connect("build-finished", _write_thumbnails)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
