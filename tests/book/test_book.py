"""The book, built from small records and read in a real browser."""

import functools
import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
import synthetic

from moelib.records.record import write_record
from moelib.study.base import PROJECT
from moelib.study.run import Run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
JUPYTER_BOOK = str(Path(sys.executable).with_name("jupyter-book"))
CHAPTERS = sorted(path.stem for path in (PROJECT / "book").glob("*.ipynb"))


def execute(chapter: str, output: Path, results: Path) -> None:
    """Run a chapter as the workflow does."""
    command = (sys.executable, "-m", "moelib.study.notebook", f"book/{chapter}.ipynb", output)
    given = os.environ | {"MOELIB_RESULTS": str(results), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The built book: one study with three seeds, one with one, one with a dense head only."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(PROJECT / "book", source / "book")
    shutil.copy(PROJECT / "_config.yml", source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOELIB_RESULTS", str(source / "results"))
        for study in (synthetic.study("quick"), synthetic.study("single", seeds=(0,))):
            synthetic.write_all(study)
            synthetic.write_landscapes(study)
        dense = Run(synthetic.study("plain", seeds=(0,)), "dense", 0)
        write_record(dense.record_path("train"), synthetic.trained(dense))
        synthetic.write_benchmark()
        synthetic.write_crosscheck()
    with ThreadPoolExecutor(2) as pool:
        for job in [
            pool.submit(execute, chapter, source / f"book/{chapter}.ipynb", source / "results")
            for chapter in CHAPTERS
        ]:
            job.result()
    built = tmp_path_factory.mktemp("pages")
    command = [JUPYTER_BOOK, "build", ".", "--toc", "book/_toc.yml"]
    options = ["--path-output", str(built), "--all", "-W", "-n", "--keep-going", "--quiet"]
    done = subprocess.run([*command, *options], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return built / "_build/html"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site(html):
    """The address at which the book is served on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=html))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("No Chromium is installed: the pages are not opened in a browser.")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed.")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="session")
def visits(html, site, browser) -> dict[str, dict]:
    """Every page as the browser saw it: its text, links, ids, images, and what went wrong."""
    seen = {}
    for path in sorted(html.glob("book/*.html")) + [html / "search.html", html / "genindex.html"]:
        page, faults = browser.new_page(), []
        page.set_default_timeout(120_000)  # milliseconds; only a busy machine comes near it
        page.on("console", lambda m, f=faults: m.type == "error" and f.append(m.text))
        page.on("pageerror", lambda error, f=faults: f.append(str(error)))
        page.on("requestfailed", lambda r, f=faults: f.append(f"failed: {r.url}"))
        page.on("response", lambda r, f=faults: r.status >= 400 and f.append(f"{r.status} {r.url}"))
        asked = []
        page.on("request", lambda request, a=asked: a.append(request.url))
        name = path.relative_to(html).as_posix()
        page.goto(f"{site}/{name}", wait_until="networkidle")
        # On a busy machine the network can be idle before the first text is laid out.
        page.wait_for_function("() => document.querySelector('main').innerText.trim() !== ''")
        seen[name] = {
            "faults": faults,
            "asked": asked,
            "text": page.inner_text("main"),
            "formulas": page.locator("mjx-container").count(),
            "broken_formulas": page.locator("mjx-merror").count(),
            "ids": set(page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")),
            "links": page.eval_on_selector_all("a[href]", "all => all.map(e => e.href)"),
            "images": page.eval_on_selector_all(
                "main img", "all => all.map(e => [e.src, e.naturalWidth, e.clientWidth])"
            ),
        }
        page.close()
    return seen


def test_every_page_of_the_contents_is_there(html):
    pages = re.findall(r"book/\w+", (PROJECT / "book/_toc.yml").read_text())
    assert len(pages) >= 8
    assert [page for page in pages if not (html / f"{page}.html").exists()] == []
    assert "book/intro.html" in (html / "index.html").read_text()


def test_chapters_are_committed_without_outputs():
    for chapter in CHAPTERS:
        text = (PROJECT / f"book/{chapter}.ipynb").read_text()
        assert '"outputs": []' in text and '"output_type"' not in text, chapter


def test_pages_open_without_an_error(visits):
    assert {name: page["faults"] for name, page in visits.items() if page["faults"]} == {}


def test_pages_load_nothing_from_elsewhere(visits, site):
    local = (f"{site}/", "data:", "blob:")
    asked = {url for page in visits.values() for url in page["asked"]}
    assert {url for url in asked if not url.startswith(local)} == set()


def test_every_internal_link_leads_somewhere(visits, site, html):
    dead = []
    for name, page in visits.items():
        for link in page["links"]:
            url, fragment = urldefrag(link)
            if not url.startswith(site):
                continue
            target = unquote(url.removeprefix(f"{site}/")) or "index.html"
            found = (html / target).is_file()
            if not found or (fragment and fragment not in visits.get(target, page)["ids"]):
                dead.append(f"{name}: {link}")
    assert dead == []


def test_no_page_shows_a_traceback_or_a_hole(visits):
    for name, page in visits.items():
        for mark in ("Traceback", "nan", "None", "{glue", "{cite", "<Figure", "<IPython"):
            assert not re.search(rf"(?<![a-z]){re.escape(mark)}(?![a-z])", page["text"]), (
                name,
                mark,
            )


def test_figures_have_a_size(visits):
    images = [(name, *image) for name, page in visits.items() for image in page["images"]]
    assert [image for image in images if image[2] == 0 or image[3] == 0] == []
    drawn = {name: len(page["images"]) for name, page in visits.items()}
    # Three studies have accuracies and learning curves; one of them has paired differences.
    assert drawn["book/accuracy.html"] == 3 + 1 + 3
    assert drawn["book/utilization.html"] == 4 * 2
    assert drawn["book/sharpness.html"] == 4 * 2
    assert drawn["book/surface.html"] == 4 * 2
    assert drawn["book/reproducibility.html"] == 1


def test_formulas_are_set(visits):
    assert visits["book/methods.html"]["formulas"] > 20
    assert sum(page["broken_formulas"] for page in visits.values()) == 0


def test_what_was_found_reaches_the_title_page(visits):
    title = visits["book/intro.html"]["text"]
    for page, said in (
        ("accuracy", "quick: 3 seeds"),
        ("utilization", "Dead experts: soft 0 of 12"),
        ("claims", "Expert collapse is avoided."),
    ):
        assert said in visits[f"book/{page}.html"]["text"]
        assert said in title
    assert "object at" not in title and "IPython" not in title


def test_every_record_can_be_downloaded(visits, html):
    links = [link for page in visits.values() for link in page["links"] if link.endswith(".json")]
    names = {link.rsplit("/", 1)[1] for link in links}
    runs = {f"{kind}.json" for kind in ("train", "utilization", "sharpness", "surface")}
    assert names == runs | {"step.some-cpu.json", "dense.some-cpu.json"}
    assert len(set(links)) == (9 + 6 + 9 + 9) + (3 + 2 + 3 + 3) + 1 + 1 + 1


def test_each_result_says_what_it_does_not_show(visits):
    pages = ("intro", "claims", "accuracy", "utilization", "sharpness", "surface", "speed")
    for name in (*pages, "reproducibility"):
        assert "does not show" in visits[f"book/{name}.html"]["text"]


def test_the_book_can_be_read_from_a_folder(html, browser):
    page = browser.new_page()
    page.goto((html / "book/accuracy.html").as_uri())
    widths = page.eval_on_selector_all("main img", "all => all.map(e => e.naturalWidth)")
    page.close()
    assert widths and all(widths)
