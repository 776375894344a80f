"""The report as text: sections, states, hostile input, the policy, Markdown and exported charts."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vl_convert

from embft.data.pairs import Pairs
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.table import table_lines
from embft.report import bundle
from embft.report import format as fmt
from embft.report.audit import audit_lines
from embft.report.bundle import policy, script_json
from embft.report.export import export_charts
from embft.report.markdown import render_markdown
from embft.report.page import stats, unbroken, write_report
from tests.helpers import leaderboards
from tests.helpers.leaderboards import Plan, lora_lr, lora_lr_plans, make_leaderboard, params
from tests.helpers.pages import render_report

EVIL = "</script><script>alert(1)</script> \u202egnitirw\u202c \u2028 <img src=x onerror=alert(2)>"
SECTIONS = (
    "verdict", "leaderboard", "before-after", "mattered", "epochs", "cost", "agreement", "errors",
    "compare", "failures", "method", "trials",
)  # fmt: skip


class Page(HTMLParser):
    """The elements of a page: tags with attributes, and the text of each row of the leaderboard."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember the element."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def ids(self, tag: str | None = None) -> list[str]:
        """The ids in order, of one kind of element or of all."""
        return [a["id"] for t, a in self.elements if "id" in a and tag in (None, t)]

    def of(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of a kind."""
        return [a for t, a in self.elements if t == tag]


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    return lora_lr(tmp_path_factory.mktemp("lora"), warnings=("Mind this.",))


@pytest.fixture(scope="module")
def html(leaderboard: Leaderboard) -> str:
    return render_report(leaderboard)


def page_data(html: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert match
    found: dict[str, Any] = json.loads(match[1])
    return found


def unpacked_library(html: str) -> str:
    """The charts' library as the page's script unpacks it."""
    match = re.search(r'id="library">(.*?)</script>', html, re.DOTALL)
    assert match
    return gzip.decompress(base64.b64decode(match[1])).decode()


def test_a_metric_is_shown_in_its_own_form() -> None:
    """Counts have no digits, a p-value is never 0, scores have three digits."""
    assert fmt.metric("false_positives", 34.0) == "34"
    assert fmt.metric("false_positives", 1234.5) == "1,234.5"
    assert fmt.metric("clusters", 7.0) == "7"
    assert fmt.metric("welch_p", 1e-9) == "< 0.001"
    assert fmt.metric("welch_p", 0.25) == "0.250"
    assert fmt.metric("spearman", 34.0) == "34.000"
    assert fmt.metric("a_metric_of_users", 2.0) == "2.000"
    assert fmt.metric("false_positives", None) == fmt.MISSING


def test_sections_stand_in_the_order_of_a_readers_questions(html: str) -> None:
    """Verdict first, method and the trials' pages last."""
    assert [i for i in Page(html).ids("section") if i in SECTIONS] == list(SECTIONS)


def test_every_id_is_unique_and_every_inner_link_leads_somewhere(html: str) -> None:
    """A row's link opens the page of its trial."""
    page = Page(html)
    ids = page.ids()
    assert len(ids) == len(set(ids))
    links = [a["href"] for a in page.of("a")]
    assert len([link for link in links if link.startswith("#trial-")]) >= 12
    assert all(link.startswith("#") and link[1:] in ids for link in links)


def test_the_table_is_there_before_any_script(leaderboard: Leaderboard, html: str) -> None:
    """Every configuration is a row of plain HTML, in the order of the ranks."""
    body = html[html.index('<table id="ranking">') : html.index("</tbody>")]
    assert re.findall(r'data-trials="([^"]*)"', body) == [
        " ".join(line.trials) for line in table_lines(leaderboard)
    ]


def test_figures_at_the_top_are_those_of_the_table(leaderboard: Leaderboard) -> None:
    """The recommended line's score, delta and cost are what the answer shows."""
    line = next(line for line in table_lines(leaderboard) if line.recommended)
    shown = {stat.label: stat.value for stat in stats(leaderboard)}
    assert shown["Spearman correlation, test"] == fmt.score(line.score)
    assert shown["against the base model, test"] == fmt.signed(line.delta)
    assert shown["training"] == fmt.duration(line.seconds)
    assert shown["trained weights"] == fmt.count(line.trainable)


def test_the_page_admits_no_foreign_code(html: str) -> None:
    """The policy allows nothing but hashed blocks; nothing is loaded, and no handler is inline."""
    page = Page(html)
    given = next(a["content"] for a in page.of("meta") if "http-equiv" in a)
    assert "default-src 'none'" in given
    assert "unsafe" not in given
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert "src" not in attributes
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert given == policy(styles, [unpacked_library(html), *scripts])


def test_the_charts_library_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next process reads it; one that is damaged, or has no place, is built again."""
    built: list[str] = []
    build = vl_convert.javascript_bundle

    def counted(code: str) -> str:
        built.append(code)
        text: str = build(code)
        return text

    monkeypatch.setattr(vl_convert, "javascript_bundle", counted)
    monkeypatch.setattr(bundle, "_kept_file", lambda: tmp_path / "__pycache__" / "vega.json")
    first = bundle.library.__wrapped__()
    assert first == bundle.library.__wrapped__()
    assert len(built) == 1
    kept = tmp_path / "__pycache__" / "vega.json"
    kept.write_text(kept.read_text().replace("vega", "viga", 1))
    assert first == bundle.library.__wrapped__()
    assert len(built) == 2
    monkeypatch.setattr(bundle, "_kept_file", lambda: Path("/dev/null/vega.json"))
    assert first == bundle.library.__wrapped__()
    assert len(built) == 3


def test_one_bundle_serves_every_chart_and_the_file_stays_small(html: str) -> None:
    """Under 2 MB for twelve trials, though there are a dozen charts."""
    data = page_data(html)
    assert len(data["charts"]) >= 10
    assert len(re.findall(r"<script>", html)) == 1
    assert html.count('id="library"') == 1
    assert len(html.encode()) < 2_000_000


def test_each_chart_has_a_picture_before_scripts(html: str) -> None:
    """The static SVG stands where the live chart will."""
    keys = re.findall(r'data-chart="([^"]*)" role="img" aria-label="[^"]+"><svg', html)
    assert sorted(keys) == sorted(page_data(html)["charts"])


def test_the_recommended_trials_curve_is_the_thick_one(html: str) -> None:
    """One line of the picture is drawn in that width, and after the others."""
    drawn = html[html.index('data-chart="epochs"') :]
    lines = re.findall(
        r'<path d="M14,[^"]*C[^>]*stroke-width="([0-9.]+)"', drawn[: drawn.index("</svg>")]
    )
    assert len(lines) == 11
    assert lines == ["1.4"] * 10 + ["4.5"]


def test_learning_rates_are_on_a_log_axis_with_clean_labels(html: str) -> None:
    """`2e-5`, not 0.00002: on the axis and in the table."""
    chart = page_data(html)["charts"]["axis-learning-rate"]
    scales = [layer["encoding"].get("x", {}).get("scale", {}) for layer in chart["layer"]]
    assert any(scale.get("type") == "log" for scale in scales)
    drawn = html[html.index('data-chart="axis-learning-rate"') :]
    assert ">2e-5<" in drawn[: drawn.index("</svg>")]
    assert "2e-05" not in re.sub(r"<pre.*?</pre>|<[^>]*>", "", html.partition('id="trials"')[0])


def state(name: str, folder: Path) -> Leaderboard:
    """A leaderboard in one of the states that a page must survive."""
    plans = lora_lr_plans()
    mixed = ["completed", "failed", "pruned", "running", "pending", "completed"]
    several = [replace(p, status=mixed[i % len(mixed)], message=EVIL) for i, p in enumerate(plans)]
    makers: dict[str, Callable[[], Leaderboard]] = {
        "empty": lambda: make_leaderboard(folder, [], baseline=False),
        "only_baseline": lambda: make_leaderboard(
            folder, [replace(p, status="pending") for p in plans]
        ),
        "one_trial": lambda: make_leaderboard(
            folder, [Plan(params("lora", 8, 2e-4), 0.6)], axes=()
        ),
        "all_failed": lambda: make_leaderboard(
            folder, [replace(p, status="failed") for p in plans]
        ),
        "mixed": lambda: make_leaderboard(folder, several),
        "no_baseline": lambda: make_leaderboard(folder, plans[:4], baseline=False),
        "seeds": lambda: lora_lr(folder, seeds=(42, 43)),
        "graded": lambda: make_leaderboard(folder, plans[:4], edit=graded),
    }
    return makers[name]()


def graded(pairs: Pairs) -> Pairs:
    noise = np.random.default_rng(1).random(len(pairs))
    return replace(pairs, label=np.round(0.6 * pairs.label + 0.4 * noise, 1))


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "only_baseline",
        "one_trial",
        "all_failed",
        "mixed",
        "no_baseline",
        "seeds",
        "graded",
    ],
)
def test_every_state_has_all_sections(name: str, tmp_path: Path) -> None:
    """Whatever is missing, each section stands there and each trial has its page."""
    leaderboard = state(name, tmp_path)
    html = render_report(leaderboard)
    page = Page(html)
    assert set(SECTIONS) <= set(page.ids("section"))
    assert {f"trial-{row.trial}" for row in leaderboard.rows} <= set(page.ids("details"))
    assert "nan" not in re.sub(r"<script.*?</script>|<[^>]*>", "", html, flags=re.DOTALL).split()
    assert render_markdown(leaderboard).startswith("## lora-lr")


def test_an_undefined_score_is_no_number(leaderboard: Leaderboard) -> None:
    """A configuration without a test score keeps its row, and no chart or sentence shows NaN."""
    lost = replace(leaderboard.groups[2], score=float("nan"), interval=None)
    groups = (*leaderboard.groups[:2], lost, *leaderboard.groups[3:])
    html = render_report(replace(leaderboard, groups=groups))
    assert f'data-trials="{lost.best.trial}"' in html
    assert "nan" not in re.sub(r"<script.*?</script>|<[^>]*>", "", html, flags=re.DOTALL).split()


def test_lower_is_better_turns_the_colours_round(leaderboard: Leaderboard) -> None:
    """With mode min the deepest colour stands for the lowest score."""
    ramps = []
    for mode in ("max", "min"):
        html = render_report(replace(leaderboard, mode=mode))
        chart = page_data(html)["charts"]["heatmap-rank-learning-rate"]
        ramps.append(chart["layer"][0]["encoding"]["color"]["scale"]["range"])
        word = "higher" if mode == "max" else "lower"
        assert f"{word} is better" in html
    assert ramps[0] == ramps[1][::-1]


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    """Texts, groups, names and messages that look like code add no element to the page."""

    def edit(pairs: Pairs) -> Pairs:
        texts = [EVIL + text if i % 3 == 0 else text for i, text in enumerate(pairs.text_1)]
        groups = {n: [EVIL, *v[1:]] for n, v in pairs.groups.items()}
        return replace(pairs, text_1=texts, text_2=[EVIL * 40, *pairs.text_2[1:]], groups=groups)

    plans = [replace(p, message=EVIL) for p in lora_lr_plans()]
    plans[0] = replace(plans[0], status="failed")
    leaderboard = make_leaderboard(
        tmp_path, plans, edit=edit, name=EVIL, description=EVIL, verdict=(EVIL,), warnings=(EVIL,),
        audit={"findings": [evil_finding()]},
    )  # fmt: skip
    html = render_report(leaderboard)
    page = Page(html)
    assert not page.of("img")
    assert len(page.of("script")) == 3
    assert page_data(html)["compare"]["texts"]
    markdown = render_markdown(leaderboard)
    assert "<script" not in markdown
    assert "<img" not in markdown


def evil_finding() -> dict[str, object]:
    """A finding of the data audit whose every text means harm."""
    pair = {"split": "dev", "row": 8, "text_1": EVIL, "text_2": EVIL, "label": 0.0}
    return {
        "severity": "problem",
        "message": EVIL,
        "effect": EVIL,
        "advice": EVIL,
        "details": {"auc": 0.8222, "words": {"for_low": [EVIL] * 20}, "sampled": False},
        "examples": [{**pair, "near": {**pair, "split": "train", "row": 1809}}] * 9,
    }


def test_a_finding_of_the_audit_has_figures_and_examples(tmp_path: Path) -> None:
    """Nested details become one list of names and values; a few examples stand for all."""
    leaderboard = make_leaderboard(tmp_path, lora_lr_plans(), audit={"findings": [evil_finding()]})
    (line,) = audit_lines(leaderboard)
    assert [name for name, _ in line.figures] == ["auc", "words for low", "sampled"]
    assert [value for _, value in line.figures][::2] == ["0.822", "no"]
    assert len(line.examples) == 3
    assert line.examples[0].where == "dev row 8, label 0"
    assert line.examples[0].near == "train row 1,809, label 0"


def test_json_in_a_script_cannot_end_it() -> None:
    """The characters that HTML or JavaScript would act upon are escaped, and nothing is lost."""
    text = "</script><!-- & \u2028\u2029 ]]>"
    written = script_json({"text": text})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {"text": text}
    with pytest.raises(ValueError, match="Out of range"):
        script_json([float("nan")])


def test_missing_scores_are_said_to_be_missing(tmp_path: Path) -> None:
    """Without the per-pair scores the sections about pairs say so, and the rest stands."""
    leaderboard = lora_lr(tmp_path)
    for row in leaderboard.rows:
        row.folder.scores_file.unlink()
    html = render_report(leaderboard)
    assert html.count("scores.parquet") >= 2
    assert 'id="figure-epochs"' in html


def test_compare_begins_with_the_two_that_were_asked_for(leaderboard: Leaderboard) -> None:
    """`compare` chooses the first two of the page by name."""
    two = (leaderboard.groups[3].best.trial, leaderboard.groups[1].best.trial)
    data = page_data(render_report(leaderboard, compare=two))["compare"]
    assert tuple(data["models"][i]["trial"] for i in data["start"]) == two


def test_writing_replaces_the_file_as_a_whole(leaderboard: Leaderboard, tmp_path: Path) -> None:
    """The written file is the rendered page, and no temporary file is left."""
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(leaderboard, path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_diverged_trial_does_not_crush_the_curves(tmp_path: Path) -> None:
    """The cost chart's axis ends near the other trials, and the trial far below is drawn at it."""
    plans = [Plan(params("lora", rank, 2e-4), 0.6) for rank in (2, 4, 8, 16, 32, 64)]
    leaderboard = make_leaderboard(tmp_path, [*plans, Plan(params("lora", 1, 2e-4), -0.9)])
    chart = page_data(render_report(leaderboard))["charts"]["cost-parameters"]
    scores = [point["score"] for point in chart["datasets"]["rows"]]
    real = [group.score for group in leaderboard.groups]
    assert min(real) < -0.5
    assert min(scores) > 0


def test_markdown_names_the_recommended_and_every_scored_line(leaderboard: Leaderboard) -> None:
    """A row for each configuration and the baseline."""
    markdown = render_markdown(leaderboard)
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(leaderboard.groups) + 1
    assert sum("(recommended)" in row for row in rows) == 1
    assert "- Mind this." in markdown


@pytest.mark.parametrize(("kind", "head"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_charts_are_exported_with_colours_of_their_own(
    leaderboard: Leaderboard, tmp_path: Path, kind: Any, head: bytes
) -> None:
    """A file stands alone: no CSS variable is left in it."""
    paths = export_charts(leaderboard, tmp_path / "charts", kind)
    assert len(paths) >= 10
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(head)
        assert b"var(--" not in content


def test_numbers_read_as_people_write_them() -> None:
    """Minus signs, dashes for what is missing, units that fit."""
    minus = "\N{MINUS SIGN}"
    assert fmt.score(-0.2194) == f"{minus}0.219"
    assert fmt.score(-0.0001) == "0.000"
    assert fmt.signed(0.5) == "+0.500"
    assert fmt.score(None) == fmt.MISSING
    assert fmt.duration(125) == "2 min 05 s"
    assert fmt.count(73_728) == "73.7 k"
    assert fmt.size(299_008) == "299 kB"
    assert fmt.p_value(0.0004) == "< 0.001"


def test_builder_writes_what_a_worker_writes(leaderboard: Leaderboard) -> None:
    """The made-up folders hold scores, so that these tests read real files."""
    assert leaderboard.axes == leaderboards.LORA_LR_AXES
    assert all(row.folder.scores_file.exists() for row in leaderboard.rows)


def test_code_in_sentences_is_shown_as_code() -> None:
    """What stands between backticks, whoever wrote it; numbers stay whole, and nothing runs."""
    assert unbroken("such as `seeds: [1]` at 2e-5") == (
        "such as <code>seeds: [1]</code> at <span class=nb>2e-5</span>"
    )
    assert unbroken("`<b>` and a ` alone") == "<code>&lt;b&gt;</code> and a ` alone"
