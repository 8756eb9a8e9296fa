"""What the printed book gains over its pages on a screen."""

import runpy
from types import SimpleNamespace

import pytest

from moelib.study.base import PROJECT

CAPTION = '<p aria-level="2" class="caption" role="heading"><span>{}</span></p>'
ENTRY = '<a class="reference internal nav-link" href="#document-book/{}">{}</a>'
CHAPTER = '<span id="document-book/{0}"></span><section id="{0}">\n<h2>{1}<a href="#{0}">#</a></h2>'
PAGE = "\n".join(
    [
        "<html><head></head><body>",
        CAPTION.format("Aside"),
        '<div id="jb-print-toc">',
        *(CAPTION.format("Results"), ENTRY.format("one", "One")),
        *(CAPTION.format("How"), ENTRY.format("references", "References")),
        "</div>",
        '<div class="toctree-wrapper compound">',
        CHAPTER.format("one", "<code>One</code> &amp; “all”"),
        '<figure id="id2"></figure>',
        '<a href="book/intro.html#id2">2026</a> <a class="x" href="_downloads/1/train.json">0</a>',
        'Records · <a href="data:text/csv;base64,eA==">data as CSV</a> <a href="https://example.org">there</a>',
        '<h2 class="rubric" id="cifar-10">CIFAR-10</h2>',
        "<p><strong>Study <code>paper</code></strong></p><p><strong>Yes.</strong> No.</p>",
        "</section></div>",
        '<div class="toctree-wrapper compound">',
        CHAPTER.format("references", "References"),
        '<div id="id2">A reference</div></section>',
        CHAPTER.format("tables", 'Of "b" \\ c'),
        '<p id="id2"></p></section></div></body></html>',
    ]
)


@pytest.fixture(scope="module")
def pdf():
    return SimpleNamespace(**runpy.run_path(str(PROJECT / "workflow/pdf")))


@pytest.fixture(scope="module")
def paper(pdf):
    return pdf.for_paper(PAGE)


def test_links_on_paper_lead_into_the_book_or_to_the_web(paper):
    assert '<a href="#id2">2026</a>' in paper and paper.count('id="id2"') == 1
    assert '<div id="id2">A reference' in paper
    assert '<a href="https://example.org">' in paper
    assert "_downloads" not in paper and "Records <a" in paper


def test_parts_stand_above_their_chapters_and_are_bookmarks_there_alone(paper):
    assert paper.count('class="part"') == 2 and 'role="heading"' not in paper
    assert '<p class="printed">Printed on ' in paper.split("jb-print-toc")[0]
    part = '<h1 class="part">How</h1><span id="document-book/references">'
    assert f'<section id="references" style="page: references">{part}' in paper


def test_headings_made_by_code_rank_below_their_chapter(paper):
    assert '<h3 class="rubric" id="cifar-10">CIFAR-10</h3>' in paper


def test_each_chapter_has_its_title_above_its_pages(paper):
    assert '@page one { @top-right { content: "One & “all”" } }' in paper
    assert r'@page tables { @top-right { content: "Of \"b\" \\ c" } }' in paper


def test_a_bold_line_is_a_heading_and_a_bold_sentence_is_none(paper):
    assert '<p class="run-in"><strong>Study' in paper
    assert "<p><strong>Yes.</strong> No.</p>" in paper


def test_the_contents_name_pages(pdf):
    printed = (
        b"%PDF-1.4\n2 0 obj\n<</Type /Page\n>>\n7 0 obj\n<</Type /Page\n>>\n"
        b"9 0 obj\n<</Type /Pages\n/Count 2>>\n"
        b"10 0 obj\n<</document-book#2Fone [7 0 R /XYZ 0 841.9 0]\n/one [7 0 R /XYZ 0 8 0]>>"
    )
    pages = pdf.first_pages(printed)
    assert pages == {"one": 2}
    assert f"{ENTRY.format('one', 'One')}<span>2</span>" in pdf.numbered(PAGE, pages)
