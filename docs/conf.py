"""How the documentation is built: `make docs`. Nothing is fetched from anywhere, neither now nor by a reader."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tutorials' tensors are small

import slayerloss

project = "slayerloss"
author = "The slayerloss developers"
copyright = f"2026, {author}"
version = release = slayerloss.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_nb",
    "docstrings",
    "mathml",
    "netx_format",
    "repository",
    "tutorials",
]
exclude_patterns = ["_build", "_ext", "_templates", "conf.py"]
templates_path = ["_templates"]

# Docstrings. A name in single backticks becomes a link where there is something to link to, and code otherwise.
default_role = "py:obj"
add_module_names = False
autoclass_content = "class"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autosummary_generate = True
autosummary_filename_map = {
    "slayerloss.axon.delay": "slayerloss.axon.delay-function"
}  # beside axon.Delay
maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# Pages and tutorials.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_custom_formats = {".py": ["tutorials.read", {}]}
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_merge_streams = True

html_theme = "furo"
html_title = f"slayerloss {release}"
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["slayerloss.css"]
pygments_style = "default"
pygments_dark_style = "github-dark"
