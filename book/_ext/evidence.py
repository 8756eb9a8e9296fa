"""What a reader can take away: executed notebooks as pages, and records and data as archives.

Executed notebooks are there for the runs of this machine; each page begins with the parameters of
its run and the provenance of its record.
"""

import base64
import json
import re
import zipfile
from html import escape
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from moelib.report import loading
from moelib.study.run import results_root

DATA = re.compile(r'download="([^"]+\.csv)" href="data:text/csv;base64,([^"]+)"')
SHOWN = ("commit", "date", "device", "threads", "wall_time_s", "python")


def _notebooks(app):
    """A page for each executed notebook of a run, as (name, context, template)."""
    if app.builder.name != "html":
        return
    exporter = HTMLExporter(template_name="basic", exclude_input_prompt=True)
    for path, record in loading.executed_notebooks():
        body, _ = exporter.from_notebook_node(nbformat.read(path, as_version=4))
        name = path.relative_to(results_root()).with_suffix("").as_posix()
        body = f'{_top(name, record)}<div class="executed">{body}</div>'
        yield f"notebooks/{name}", {"title": name, "body": body}, "page.html"


def _top(name: str, path: Path) -> str:
    record = json.loads(path.read_text())
    facts = {key: record[key] for key in ("head", "seed")}
    facts |= {key: record["provenance"].get(key) for key in SHOWN}
    study = record.get("study") or record["numbers"]["study"]
    facts |= {"study": study["name"], "digest of the record": record["digest"]}
    rows = "".join(
        f"<tr><th scope=row>{escape(key)}</th><td>{escape(str(value))}</td></tr>"
        for key, value in facts.items()
    )
    return (
        f"<h1>{escape(name)}</h1><p>An executed notebook, as stored in <code>results/</code>. "
        f'<a href="{"../" * (name.count("/") + 1)}book/notebooks.html">All notebooks</a>.</p>'
        f'<div class="scroll" tabindex="0"><table class="table">{rows}</table></div>'
    )


def _archives(app, error) -> None:
    """All records as one archive, and the data of all figures as another."""
    if error is not None or app.builder.name != "html":
        return
    source, out = Path(app.srcdir) / "results", Path(app.outdir)
    with zipfile.ZipFile(out / "records.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for record in sorted(source.rglob("*.json")):
            archive.write(record, record.relative_to(source.parent))
    with zipfile.ZipFile(out / "figures.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        tables = {}
        for page in sorted(out.glob("book/*.html")):
            tables |= dict(DATA.findall(page.read_text()))
        for name, data in tables.items():
            archive.writestr(name, base64.b64decode(data))


def setup(app) -> dict:
    """Register the pages and the archives with Sphinx."""
    app.connect("html-collect-pages", _notebooks)
    app.connect("build-finished", _archives)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
