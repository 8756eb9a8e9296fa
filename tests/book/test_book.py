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
from zipfile import ZipFile

import nbformat
import pytest
import synthetic

from moelib.records.record import write_record
from moelib.study.base import PROJECT
from moelib.study.run import Run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
JUPYTER_BOOK = str(Path(sys.executable).with_name("jupyter-book"))
SHORT = ("accuracy", "utilization", "sharpness", "surface", "efficiency")
LONG = ("intro", "claims", "gallery", "ablations", "authors-code", *SHORT)  # and yet not too long
CONTRAST = Path(__file__).with_name("contrast.js").read_text().partition("\n")[2]
CHARTS = """all => all.map(e => ({
    width: (e.querySelector("svg") ?? e.querySelector("table")).clientWidth,
    label: e.querySelector("[role=img]")?.ariaLabel ?? e.querySelector("table").innerText,
    caption: e.querySelector("figcaption").innerText}))"""
CHAPTERS = sorted(path.stem for path in (PROJECT / "book").glob("*.ipynb"))

NOTEBOOK = nbformat.v4.new_notebook(
    cells=[nbformat.v4.new_code_cell("1 + 1"), nbformat.v4.new_markdown_cell("It was run.")]
)


def execute(chapter: str, output: Path, results: Path) -> None:
    """Run a chapter as the workflow does."""
    command = (sys.executable, "-m", "moelib.study.execution", f"book/{chapter}.ipynb")
    command += ("--into", output.parent)
    environment = os.environ | {"MOELIB_RESULTS": str(results), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The built book: published studies of three seeds, two and one, the reader’s, a dense head."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(PROJECT / "book", source / "book")
    shutil.copy(PROJECT / "_config.yml", source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOELIB_RESULTS", str(source / "results"))
        one_seed = synthetic.study("cifar10-main", seeds=(0,))
        synthetic.write_all(synthetic.study("ablations", seeds=(0, 1)))
        for study in (synthetic.study("paper"), one_seed, synthetic.study("quick")):
            synthetic.write_all(study)
            synthetic.write_landscapes(study)
            synthetic.write_galleries(study)
        notebook = Run(synthetic.study("quick"), "soft", 0).folder / "train.ipynb"
        nbformat.write(NOTEBOOK, notebook)
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
    output = tmp_path_factory.mktemp("pages")
    command = [JUPYTER_BOOK, "build", ".", "--toc", "book/_toc.yml"]
    options = ["--path-output", str(output), "--all", "-W", "-n", "--keep-going", "--quiet"]
    environment = os.environ | {"MOELIB_RESULTS": str(source / "results")}
    process = subprocess.run(
        [*command, *options], cwd=source, env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return output / "_build/html"


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
        chromium = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def visits(html, site, browser) -> dict[str, dict]:
    """Every page as the browser saw it: its text, links, ids, images, and what went wrong."""
    pages = {}
    extra_paths = [html / "search.html", html / "genindex.html", *html.glob("notebooks/**/*.html")]
    for path in sorted(html.glob("book/*.html")) + extra_paths:
        page, faults = browser.new_page(), []
        page.set_default_timeout(120_000)  # milliseconds; only a busy machine comes near it
        page.on("console", lambda m, log=faults: m.type == "error" and log.append(m.text))
        page.on("pageerror", lambda error, log=faults: log.append(str(error)))
        page.on("requestfailed", lambda r, log=faults: log.append(f"failed: {r.url}"))
        page.on(
            "response", lambda r, log=faults: r.status >= 400 and log.append(f"{r.status} {r.url}")
        )
        requests = []
        page.on("request", lambda request, urls=requests: urls.append(request.url))
        name = path.relative_to(html).as_posix()
        page.goto(f"{site}/{name}", wait_until="networkidle")
        # On a busy machine the network can be idle before the first text is laid out.
        page.wait_for_function("() => document.querySelector('main').innerText.trim() !== ''")
        pages[name] = {
            "faults": faults,
            "requests": requests,
            "text": page.inner_text("main"),
            "formulas": page.locator("mjx-container").count(),
            "broken_formulas": page.locator("mjx-merror").count(),
            "ids": set(page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")),
            "links": page.eval_on_selector_all("a[href]", "all => all.map(e => e.href)"),
            "charts": page.eval_on_selector_all("figure.chart", CHARTS),
        }
        page.close()
    return pages


def test_every_page_of_the_contents_is_there(html):
    pages = re.findall(r"book/[\w-]+", (PROJECT / "book/_toc.yml").read_text())
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
    requests = {url for page in visits.values() for url in page["requests"]}
    assert {url for url in requests if not url.startswith(local)} == set()


def test_every_internal_link_leads_somewhere(visits, site, html):
    dead = []
    for name, page in visits.items():
        for link in page["links"]:
            url, fragment = urldefrag(link)
            if not url.startswith(site):
                continue
            target = unquote(url.removeprefix(f"{site}/")) or "index.html"
            exists = (html / target).is_file()
            if not exists or (fragment and fragment not in visits.get(target, page)["ids"]):
                dead.append(f"{name}: {link}")
    assert dead == []


def test_no_page_shows_a_traceback_or_a_hole(visits):
    for name, page in visits.items():
        if name.startswith("notebooks/"):  # as they are
            continue
        for mark in ("Traceback", "nan", "None", "{glue", "{cite", "<Figure", "<IPython"):
            assert not re.search(rf"(?<![a-z]){re.escape(mark)}(?![a-z])", page["text"]), (
                name,
                mark,
            )


def test_figures_are_drawn_named_and_numbered(visits):
    for name, page in visits.items():
        for figure in page["charts"]:
            assert figure["width"] > 0 and figure["label"], name
            assert figure["caption"].startswith("Fig. "), (name, figure["caption"])
    counts = {name.split("/")[-1]: len(page["charts"]) for name, page in visits.items()}
    for chapter, figures in {"accuracy": 1, "utilization": 3, "sharpness": 2, "surface": 2}.items():
        assert counts[f"{chapter}.html"] == figures
        assert counts[f"{chapter}-tables.html"] >= 3
    assert counts["your-run.html"] >= 7


def test_figures_take_the_colours_of_the_theme(html, browser):
    inks = []
    for theme in ("light", "dark"):
        page = browser.new_page()
        page.add_init_script(f"localStorage.setItem('mode', '{theme}')")
        page.goto((html / "book/accuracy.html").as_uri())
        inks.append(page.eval_on_selector(".chart text", "text => getComputedStyle(text).fill"))
        page.close()
    assert inks[0] != inks[1]


def test_chapters_are_short_and_nothing_is_wider_than_a_phone(html, browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    for path in sorted(html.glob("book/*.html")):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(path.as_uri())
        if path.stem in LONG:
            height = page.evaluate("document.documentElement.scrollHeight")
            words = len(page.inner_text("article").split())
            assert height <= 6000 and words <= 1200, (path.stem, height, words)
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path.stem
        scales = page.eval_on_selector_all(
            ".chart .panels svg[viewBox]",
            "all => all.map(svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)",
        )
        assert min(scales, default=1) > 0.8, (
            path.stem
        )  # of 1.33 pixels a point: letters of 6 points
    page.close()


def test_pages_are_small(html):
    assert {p.name for p in html.glob("book/*.html") if p.stat().st_size > 2 * 2**20} == set()


def test_formulas_are_set(visits):
    assert visits["book/methods.html"]["formulas"] > 20
    assert sum(page["broken_formulas"] for page in visits.values()) == 0


def test_each_answer_reaches_the_title_page(visits):
    title = visits["book/intro.html"]["text"]
    for chapter in SHORT:
        (answer,) = re.findall(r"(?:dense|experts|evenly)[^.]*\.", title)[:1]
        assert answer and "object at" not in title
        assert f"book/{chapter}.html" in {
            link.split("/", 3)[-1] for link in visits["book/intro.html"]["links"]
        }


def test_every_record_can_be_downloaded(visits, html):
    links = [link for page in visits.values() for link in page["links"] if link.endswith(".json")]
    names = {link.rsplit("/", 1)[1] for link in links}
    kinds = ("train", "utilization", "sharpness", "surface", "gallery")
    runs = {f"{kind}.json" for kind in kinds}
    assert names == runs | {"step.some-cpu.json", "dense.some-cpu.json"}
    of_two_seeds = 6 + 4  # trainings, and uses of experts
    counted = 2 * (9 + 6 + 9 + 9 + 2) + (3 + 2 + 3 + 3 + 2) + of_two_seeds
    assert len(set(links)) == counted + 1 + 1 + 1


def test_each_result_says_what_it_does_not_show(visits):
    pages = ("intro", "claims", "speed", "authors-code", "your-run", *SHORT)
    for name in (*pages, "reproducibility"):
        assert "does not show" in visits[f"book/{name}.html"]["text"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_read_from_a_folder_in_both_themes(html, browser, theme):
    page, faults, pale = browser.new_page(color_scheme=theme), [], {}
    page.set_default_timeout(120_000)  # as above
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    # What is still loading when the next page is opened is no fault.
    aborted = "net::ERR_ABORTED"
    page.on("requestfailed", lambda r: r.failure != aborted and faults.append(r.url))
    page.on("request", lambda r: r.url.startswith("http") and faults.append(r.url))
    page.add_init_script(f"localStorage.setItem('mode', '{theme}')")
    for path in sorted(html.glob("book/*.html")) + sorted(html.glob("notebooks/**/*.html")):
        page.goto(path.as_uri(), wait_until="networkidle")
        if contrasts := page.evaluate(CONTRAST):
            pale[path.stem] = contrasts
    page.close()
    assert faults == []
    assert pale == {}


def test_every_picture_has_words(html, browser):
    page = browser.new_page()
    for path in sorted(html.glob("book/*.html")):
        page.goto(path.as_uri())
        images = page.eval_on_selector_all(
            "article img, article [role=img]",
            "all => all.filter(e => !(e.alt || e.ariaLabel)).map(e => e.outerHTML.slice(0, 80))",
        )
        assert images == [], path.stem
    page.close()


def test_what_moves_can_be_moved_by_keys(html, browser):
    page = browser.new_page()
    page.goto((html / "book/gallery.html").as_uri())
    boxes = "all => all.map(box => box.querySelectorAll('.thumb').length)"
    counts = page.eval_on_selector_all(".box", boxes)
    page.focus(".forming input")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".forming output") == "2"
    assert page.eval_on_selector_all(".box", boxes) != counts
    visible = "all => all.filter(part => !part.hidden).length"
    bars = page.eval_on_selector_all(".choices .shares b", visible)
    page.focus(".choices [data-set=k]")
    page.keyboard.press("ArrowLeft")
    assert 2 * page.eval_on_selector_all(".choices .shares b", visible) == bars
    page.goto((html / "book/claims.html").as_uri())
    rows = "all => all.filter(row => row.checkVisibility()).length"
    rows_of_study = page.eval_on_selector_all(".filtered tbody tr", rows)
    page.focus(".filtered select")
    page.keyboard.press("Home")  # all studies
    assert page.eval_on_selector_all(".filtered tbody tr", rows) > rows_of_study > 0
    page.close()


def test_without_scripts_everything_is_there_and_nothing_asks_for_them(html, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((html / "book/gallery.html").as_uri())
    assert page.locator("table.epochs .thumb").first.is_visible()
    assert page.locator(".choices .shares b").first.is_visible()
    assert not page.locator(".live").first.is_visible()
    page.goto((html / "book/claims.html").as_uri())
    assert page.locator(".filtered tbody tr").last.is_visible()
    for name in LONG:
        page.goto((html / f"book/{name}.html").as_uri())
        assert page.locator("main h1").last.is_visible()
    context.close()


def test_archives_hold_all_records_and_the_numbers_of_every_chart(html, visits):
    with ZipFile(html / "records.zip") as archive:
        names = archive.namelist()
        assert "results/quick/soft/seed-0/train.json" in names and archive.testzip() is None
    with ZipFile(html / "figures.zip") as archive:
        tables = set(archive.namelist())
        assert {"accuracy.csv", "gallery-digits.csv", "at-a-glance.csv"} <= tables
        assert archive.read("accuracy.csv").startswith(b"study,")


def test_an_executed_notebook_is_a_page_with_its_provenance(visits):
    text = visits["notebooks/quick/soft/seed-0/train.html"]["text"]
    assert "It was run." in text and "digest of the record" in text
    assert any("notebooks/quick/soft" in link for link in visits["book/notebooks.html"]["links"])
