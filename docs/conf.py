"""Sphinx's settings for what ``docs/build.py`` has laid out. No notebook is run, and no page asks for anything from
elsewhere."""

import json
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes

import t2i

project, author, release = "t2i", "the t2i authors", t2i.__version__
copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
exclude_patterns = ["**/sanitize.cfg"]
highlight_language = "none"  # of fences that name none, which hold commands

# Notebooks as they were committed.
nb_execution_mode = "off"
nb_render_image_options = {"alt": "made by the code above"}  # of a picture that has no description of its own
nb_render_markdown_format = "myst"  # whose Markdown has tables
nb_ipywidgets_js = {}  # its default comes from a CDN; a panel shows its still picture here
myst_enable_extensions = ["amsmath", "dollarmath", "html_image"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
add_module_names = False
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# MathJax in one file, drawing SVG, so that it asks for no fonts. Its menu would load more.
_mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
html_static_path = ["site.css", "site.js", str(_mathjax / "tex-svg.js")]
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}

html_theme = "sphinx_book_theme"
html_title, html_favicon = "t2i", "favicon.svg"
html_css_files, html_js_files = ["site.css"], [("site.js", {"defer": "defer"})]
html_sourcelink_suffix = ""
html_use_index, html_domain_indices = False, False  # the search finds more
html_theme_options = {"show_navbar_depth": 1, "use_fullscreen_button": False, "navbar_persistent": []}
html_context = {"default_mode": "auto"}  # without one the theme complains at a reader's first visit


def as_pages(app, name: str, source: list[str]) -> None:
    """README.md is the start here, and what a notebook's pictures show is moved to where MyST-NB looks for it."""
    text = source[0].replace("](../README.md", "](../index.md").replace("](../../README.md", "](../../index.md")
    if Path(app.env.doc2path(name)).suffix == ".ipynb":
        notebook = json.loads(text)
        for cell in notebook["cells"]:
            kinds = (kind for output in cell.get("outputs", []) for kind in output.get("metadata", {}).values())
            if shown := [kind["alt"] for kind in kinds if isinstance(kind, dict) and "alt" in kind]:
                cell["metadata"]["mystnb"] = {"image": {"alt": " · ".join(shown)}}
        text = json.dumps(notebook)
    source[0] = text


def fold(app, tree: nodes.document, name: str) -> None:
    """Fold what stands under each exercise of a page of solutions."""
    if not name.startswith("notebooks/solutions/"):
        return
    for section in tree.findall(nodes.section):
        if section[0].astext().startswith("Exercise"):
            section.insert(1, nodes.raw("", "<details><summary>Solution</summary>", format="html"))
            section.append(nodes.raw("", "</details>", format="html"))


def skip(app, what: str, name: str, member, skipped: bool, options) -> bool | None:
    """Whether to leave ``member`` out: of a named tuple's fields, the class says what they are."""
    return True if (getattr(member, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app) -> None:
    app.connect("autodoc-skip-member", skip)
    app.connect("source-read", as_pages)
    app.connect("doctree-resolved", fold)
