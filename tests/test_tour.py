"""The tour's report is complete, self-contained, and agrees with its numbers. Runs on a small table of its own."""

from __future__ import annotations

import ast
import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import plots, tour
from scratchnet.backend import asarray
from scratchnet.decomposition import PCA
from scratchnet.testing import strict
from scratchnet.tour import CHAPTERS, run_tour
from scratchnet.tour.conditional_properties import pen_widths, slants
from scratchnet.tour.data import nearest, own_table, projection_errors
from scratchnet.tour.latent_space import unevenness
from scratchnet.tour.report import LeftOut, Number, Picture, Progress, Report, Section, Table, to_svg

pytestmark = pytest.mark.filterwarnings("ignore:posterior collapse")  # 300 images are too few for a VAE


def read(folder):
    def refuse(constant):
        raise AssertionError(f"{constant} in results.json")

    text = (folder / "results.json").read_text()
    return (folder / "index.html").read_text(), json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def digits():
    """300 images of 8 x 8 pixels in 10 classes, values 0..16."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return X[:300], y[:300]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, digits):
    """The whole tour on them: page, results, sections by name; on the strict double, which is as strict as CuPy."""
    folder, sections, add = tmp_path_factory.mktemp("tour"), {}, Report.add

    def remember(self, progress, part):
        sections[progress.chapter.name, part.name] = part
        add(self, progress, part)

    with pytest.MonkeyPatch.context() as patch, sn.using("strict"):
        patch.setattr(Report, "add", remember)
        X, y = digits
        X.flags.writeable = False
        assert run_tour(folder, data=(X, y)) == folder / "index.html"
    return *read(folder), sections


# ---------------------------------------------------------------------------------------------------------------------
# The page
# ---------------------------------------------------------------------------------------------------------------------


def test_every_section_is_there_and_in_the_contents(whole):
    page, results, sections = whole
    assert results["missing"] == []
    assert f"{strict.__name__} {strict.__version__}, Python" in results["about"]["versions"]  # of what it ran on
    assert "not complete" not in page
    for chapter in CHAPTERS.values():
        assert f'<article class="chapter" id="{chapter.name}"' in page
        assert results["chapters"][chapter.name]["finished"]
        for name in chapter.sections:
            assert (chapter.name, name) in sections
            assert f'id="{chapter.name}-{name}"' in page
            assert f'href="#{chapter.name}-{name}"' in page


class Page(HTMLParser):
    """What a page refers to, its ids, its pictures; unbalanced tags are an error."""

    VOID = frozenset({"meta", "br", "hr", "img", "link"})

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.references, self.pictures, self.tags = [], [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.references += [attrs[k] for k in ("href", "xlink:href", "src", "action", "srcset", "data") if k in attrs]
        if tag in ("svg", "img") and "aria-hidden" not in attrs:
            self.pictures.append(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page):
    parser = Page()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_the_page_loads_nothing(whole):
    parser = parsed(whole[0])
    assert not parser.tags & {"script", "link", "iframe", "object", "embed"}
    assert all(r.startswith(("#", "data:image/png;base64,", "data:image/gif;base64,")) for r in parser.references)
    assert all(u.startswith("#") for u in re.findall(r"url\(([^)]*)\)", whole[0]))
    assert "@import" not in whole[0]
    assert "default-src 'none'" in whole[0]


def test_links_arrive_and_ids_are_unique(whole):
    parser = parsed(whole[0])
    assert len(parser.ids) == len(set(parser.ids))
    assert {r[1:] for r in parser.references if r.startswith("#")} <= set(parser.ids)


def test_every_picture_says_what_it_shows(whole):
    page, _, sections = whole
    pictures = parsed(page).pictures
    assert len(pictures) == sum(len(s.pictures) for s in sections.values() if isinstance(s, Section)) > 30
    assert all(p["role"] == "img" and len(p["aria-label"]) > 30 for p in pictures)


def test_the_descent_is_an_animation_in_the_page(whole):
    (gif,) = re.findall(r'<img [^>]*src="data:image/gif;base64,([^"]*)"', whole[0])
    data = base64.b64decode(gif)
    assert data[:6] == b"GIF89a"
    assert len(data) < 500_000


def test_pictures_take_the_colours_of_the_page(whole):
    page = whole[0]
    drawings = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--ink)" in drawings
    assert "var(--class-0)" in drawings
    assert not any(color in drawings for color in (plots.INK, plots.FAINT, *plots.PALETTE))
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


# ---------------------------------------------------------------------------------------------------------------------
# The numbers
# ---------------------------------------------------------------------------------------------------------------------


def test_results_hold_every_number_with_its_unit(whole):
    _, results, sections = whole
    for (chapter, name), section in sections.items():
        stored = results["chapters"][chapter]["sections"][name]
        assert stored.keys() == section.numbers.keys()
        for key, number in section.numbers.items():
            assert stored[key] == {"value": number.value, "unit": number.unit or "1", "what": number.label}
            assert number.value is not None, f"{chapter}.{name}.{key}"


FIGURES_IN_WORDS = re.compile(r"\bN\(0, I\)|\b10-NN|\b1-NN")


def test_sentences_take_their_figures_from_the_numbers(whole):
    """A figure typed into a sentence could be wrong: all come from results, or from what was chosen."""
    page, _, sections = whole
    for where, section in sections.items():
        words = FIGURES_IN_WORDS.sub("", re.sub(r"\{[^}]*\}", "", section.sees))
        assert not re.search(r"\d", words), where
        used = set(re.findall(r"\{(\w+)", section.sees))
        assert used & section.numbers.keys(), where
        assert section.sentences().replace("'", "&#39;") in page
        for key in used & section.numbers.keys():
            assert str(section.numbers[key]) in section.sentences()


def test_tables_name_numbers_that_exist(whole):
    for where, section in whole[2].items():
        for table in section.tables:
            for row in table.rows.values():
                assert len(row) == len(table.columns) - 1, where
                assert set(row) <= section.numbers.keys(), where


def test_headlines_exist(whole):
    for chapter in CHAPTERS.values():
        for path in chapter.headline:
            section, _, key = path.partition(".")
            assert key in whole[2][chapter.name, section].numbers


def test_listings_are_python_and_their_imports_work(whole):
    for where, section in whole[2].items():
        tree = ast.parse(section.code)
        assert max(map(len, section.code.splitlines())) <= 88, where
        imports = ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
        names = {}
        exec(compile(imports, str(where), "exec"), names)


def test_the_lectures_divergences(whole):
    numbers = whole[1]["chapters"]["vae"]["sections"]["kl"]
    assert numbers["pq"]["value"] == pytest.approx(0.0852996, abs=5e-8)
    assert numbers["qp"]["value"] == pytest.approx(0.097455, abs=5e-7)


def test_the_three_images_are_equally_far(whole):
    numbers = whole[1]["chapters"]["clustering"]["sections"]["same"]
    first, *others = (n["value"] for name, n in numbers.items() if name != "typical")
    assert len(others) == 2
    np.testing.assert_allclose(others, first, rtol=1e-4)


def test_bad_codes_keep_their_probability(whole):
    numbers = whole[1]["chapters"]["vae"]["sections"]["bad"]
    assert numbers["log_after"]["value"] == pytest.approx(numbers["log_before"]["value"], abs=1e-3)
    assert numbers["grey_after"]["value"] > numbers["grey_before"]["value"]


def test_the_same_seed_gives_the_same_numbers(tmp_path, digits):
    runs = []
    for name in ("a", "b"):
        run_tour(tmp_path / name, chapters=["conditional"], seed=3, data=digits)
        runs.append(read(tmp_path / name)[1]["chapters"]["conditional"]["sections"])
    assert runs[0] == runs[1]


# ---------------------------------------------------------------------------------------------------------------------
# Other data
# ---------------------------------------------------------------------------------------------------------------------


def test_a_table_without_labels_or_images(tmp_path, rng, capsys):
    X = np.concatenate([rng.normal(m, 1.0, size=(60, 5)) for m in (-3.0, 0.0, 3.0)])
    X = np.column_stack([X, np.ones(len(X))])  # a constant column too
    run_tour(tmp_path, data=(X, None), chapters=[c for c in CHAPTERS if c not in ("tsne", "vae")])
    page, results = read(tmp_path)
    assert results["missing"] == []
    out = capsys.readouterr().out
    assert re.search(r"^pca \(\d+\.\d s\): .*variance in the first two \d+\.\d %", out, re.MULTILINE)
    assert f"report: {tmp_path / 'index.html'}" in out
    sections = results["chapters"]["conditional"]["sections"]
    assert sections["samples"] == {"left_out": "the condition is a class, and there are no labels"}
    assert "Left out: the condition is a class" in page
    assert "without labels" in results["about"]["data"]


def test_labels_may_be_names(tmp_path, rng):
    y = np.repeat(["ash", "b<eech", "cedar"], 50)
    X = rng.normal(size=(150, 5)) + 4 * np.repeat(np.eye(5)[:3], 50, axis=0)
    run_tour(tmp_path, data=(X, y), chapters=["pca"])
    page, results = read(tmp_path)
    assert results["chapters"]["pca"]["sections"]["plane"]["a"]["value"] in ("ash", "b<eech", "cedar")
    assert "b<eech" not in page
    assert "b&lt;eech" in page


def test_own_table_is_scaled_split_and_left_alone(xp, rng):
    X, y = rng.normal(size=(200, 9)), np.arange(200) % 4
    before = X.copy()
    X.flags.writeable = False
    data = own_table(X, asarray(y), seed=0)
    np.testing.assert_array_equal(X, before)
    assert (data.X.shape, data.X_test.shape, data.shape) == ((180, 9), (20, 9), (3, 3))
    assert sn.backend.get_xp(data.X, data.X_test, data.strange) is xp
    both = np.concatenate([sn.backend.to_numpy(data.X), sn.backend.to_numpy(data.X_test)])
    assert both.min() == 0
    assert both.max() == 1
    assert data.class_names == ["0", "1", "2", "3"]
    strange, test = sn.backend.to_numpy(data.strange), sn.backend.to_numpy(data.X_test)
    np.testing.assert_array_equal(np.sort(strange, axis=0), np.sort(test, axis=0))


def test_own_table_leaves_labels_that_are_no_classes_aside(rng):
    X = rng.normal(size=(120, 3))
    assert own_table(X, np.arange(120), 0).y is None
    assert own_table(X, rng.normal(size=120), 0).y is None
    assert own_table(X, np.arange(120.0) % 2, 0).class_names == ["0", "1"]
    with pytest.raises(ValueError, match=r"y has shape \(3,\), but X has 120 rows"):
        own_table(X, [1, 2, 3], 0)
    with pytest.raises(ValueError, match="minimum of 100"):
        own_table(X[:50], None, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Stopping, and mistakes
# ---------------------------------------------------------------------------------------------------------------------


def test_unknown_chapters_are_listed(tmp_path):
    with pytest.raises(ValueError, match=r"no chapter 'gan' in the tour; its chapters are clustering, pca, tsne"):
        run_tour(tmp_path / "out", chapters=["pca", "gan"])
    with pytest.raises(ValueError, match="chapters is empty"):
        run_tour(tmp_path / "out", chapters=[])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, FloatingPointError])
def test_a_stopped_tour_leaves_a_readable_report(tmp_path, digits, monkeypatch, stop):
    chapter = CHAPTERS["pca"]

    def stopped(data, seed, tell):
        sections = chapter.run(data, seed, tell)
        yield next(sections)
        yield next(sections)
        raise stop

    monkeypatch.setitem(tour.CHAPTERS, "pca", replace(chapter, run=stopped))
    with pytest.raises(stop):
        run_tour(tmp_path, chapters=["pca", "vae"], data=digits)
    page, results = read(tmp_path)
    parsed(page)
    missing = [f"{chapter.title}: {t}" for t in list(chapter.sections.values())[2:]] + [CHAPTERS["vae"].title]
    assert results["missing"] == missing
    assert "This tour is not complete" in page
    assert all(title in page for title in missing)
    assert list(results["chapters"]["pca"]["sections"]) == list(chapter.sections)[:2]
    assert not results["chapters"]["pca"]["finished"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.html", "results.json"]


def test_the_report_is_there_before_the_first_section(tmp_path, digits, monkeypatch):
    seen = []

    def look(data, seed, tell):
        seen.append(read(tmp_path))
        yield from ()

    monkeypatch.setitem(tour.CHAPTERS, "pca", replace(CHAPTERS["pca"], run=look))
    run_tour(tmp_path, chapters=["pca"], data=digits)
    page, results = seen[0]
    assert results["missing"] == [CHAPTERS["pca"].title]
    assert CHAPTERS["pca"].title in page


# ---------------------------------------------------------------------------------------------------------------------
# The parts
# ---------------------------------------------------------------------------------------------------------------------


def test_numbers_show_themselves():
    assert f"{Number('a', 0.12345):.1f} {Number('a', 0.12345)} {Number('a', 12345)}" == "0.1 0.123 12,345"
    assert str(Number("a", float("nan"))) == "–"
    assert Number("a", np.float32(np.inf)).value is None
    assert type(Number("a", np.float32(0.5)).value) is float
    assert type(Number("a", np.int64(3)).value) is int
    assert str(Number("class", "7", "class")) == "7"


def report_of(section):
    chapter = replace(CHAPTERS["pca"], sections={"one": "One"}, headline=["one.a"])
    report = Report("title", {"summary": "x < y"}, [Progress(chapter)])
    report.add(report.chapters[0], section)
    report.chapters[0].finished = True
    return report


def test_results_that_do_not_exist_are_null_and_a_dash(tmp_path):
    numbers = {"a": Number("a & b", float("nan"), "nats"), "b": Number("b", 2.0)}
    section = Section(
        "one", "<p>says</p>", "a is {a}, <b> is {b:.1f}.", numbers, "1 < 2", tables=[Table("xy", {"r": "b"})]
    )
    report_of(section).write(tmp_path)
    page, results = read(tmp_path)
    assert results["chapters"]["pca"]["sections"]["one"]["a"] == {"value": None, "unit": "nats", "what": "a & b"}
    for text in ("a is –, &lt;b&gt; is 2.0.", "1 &lt; 2", "a &amp; b", "x &lt; y", "<p>says</p>"):
        assert text in page


def test_an_unknown_section_is_an_error():
    with pytest.raises(KeyError, match="has no section 'two'"):
        report_of(LeftOut("two", "why"))


def test_svg_ids_do_not_collide():
    figure = plots.curves([1, 2], {"a": [1, 2], "b": [2, 1]}, xlabel="x", ylabel="y")
    one, two = (to_svg(figure, prefix, 'of "two" <lines>') for prefix in ("p", "q"))
    ids = [set(re.findall(r'\bid="([^"]*)"', svg)) for svg in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, own in zip((one, two), ids, strict=True):
        assert set(re.findall(r"url\(#([^)]*)\)", svg)) | set(re.findall(r'href="#([^"]*)"', svg)) <= own
    assert 'aria-label="of &quot;two&quot; &lt;lines&gt;"' in one
    assert "<style" not in one


def test_pictures_are_let_go_of():
    section = Section(
        "one", "", "{a}", {"a": Number("a", 1)}, "", [Picture(plots.bars([1.0], xlabel="x", ylabel="y"), "b")]
    )
    report_of(section)
    assert section.pictures[0].figure is None
    assert section.drawn[0].startswith("<svg")


def test_slant_of_a_leaning_stroke():
    image = np.zeros((1, 21, 41))
    for row in range(21):
        image[0, row, 30 - row] = 1.0  # one to the right for each one up
    straight = np.zeros((1, 21, 41))
    straight[0, :, 20] = 1.0
    assert slants(image)[0] == pytest.approx(45.0)
    assert slants(image[:, :, ::-1])[0] == pytest.approx(-45.0)
    assert slants(straight)[0] == pytest.approx(0.0)
    assert slants(np.zeros((1, 4, 4)))[0] == 0


def test_pen_widths():
    """A bar as wide as the pen, many times as long: twice its ink over its edge, up to the ends and the blur of the
    gradient."""
    for width in (2, 4):
        image = np.zeros((1, 40, 40))
        image[0, 2:38, 10 : 10 + width] = 1.0
        assert pen_widths(image)[0] == pytest.approx(width, rel=0.1)
    assert pen_widths(np.zeros((1, 5, 5)))[0] == 0


def test_projection_errors(xp, rng):
    X = asarray(rng.standard_normal((50, 6)))
    pca = PCA().fit(X)
    errors = projection_errors(pca, X, X, [2, 6, 99])
    assert list(errors) == [2, 6]
    two = PCA(2).fit(X)
    assert errors[2] == pytest.approx(float(((two.inverse_transform(two.transform(X)) - X) ** 2).mean()))
    assert errors[6] == pytest.approx(0, abs=1e-20)


def test_the_pace_of_a_walk(xp):
    even = np.linspace(0, 1, 5)[None, :, None] * np.ones((2, 1, 3))
    assert unevenness(asarray(even)) == pytest.approx(1)
    jump = np.zeros((1, 5, 3))
    jump[0, 3:] = 1
    assert unevenness(asarray(jump)) == pytest.approx(4)


def test_nearest(xp):
    rows, gaps = nearest(asarray(np.array([[0.0, 0.0], [3.0, 4.0]])), asarray(np.array([[3.0, 3.0], [0.0, 1.0]])))
    assert rows.tolist() == [1, 0]
    np.testing.assert_allclose(gaps, [0.5, 0.5])
