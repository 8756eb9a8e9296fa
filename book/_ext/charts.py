"""Figures drawn into the page itself, so that they take the colours of its theme.

The directive `chart` holds panels as SVG, in base64; its first paragraph is the caption, and its
figure is numbered and referred to like any other. A page opened from a file cannot preload the
fonts of its icons, and complains: the hints to do so are taken out.
"""

import base64
import json
import re
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

PRELOAD = re.compile(r'<link rel="preload"[^>]*>\s*')


class Chart(SphinxDirective):
    """Panels side by side where there is room, and below each other where there is not."""

    has_content = True
    required_arguments = 1
    option_spec = {"name": directives.unchanged, "alt": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """The figure: panels, caption, and the line of links below."""
        panels = json.loads(base64.b64decode(self.arguments[0]))
        several = "many" if len(panels) > 1 else "one"
        alt = escape(self.options.get("alt", ""), quote=True)
        image = f' role="img" aria-label="{alt}"' if alt else ""  # else its parts can be read
        scrolls = ' tabindex="0"' if 'class="wide"' in panels[0] else ""  # on a phone, also by keys
        opening = f'<div class="panels {several}"{image}{scrolls}>'
        figure = nodes.figure(classes=["chart"])
        figure += nodes.raw("", f"{opening}{''.join(panels)}</div>", format="html")
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        if parsed.children and isinstance(parsed[0], nodes.paragraph):
            first = parsed.children.pop(0)
            figure += nodes.caption("", "", *first.children)
        if parsed.children:
            figure += nodes.legend("", *parsed.children)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure]


def _without_preloads(app, error) -> None:
    if error is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text()
            page.write_text(PRELOAD.sub("", text))


def setup(app) -> dict:
    """Register the directive with Sphinx."""
    app.add_directive("chart", Chart)
    app.connect("build-finished", _without_preloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
