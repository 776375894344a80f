"""The report in a browser: what a reader clicks, with the network watched and the console empty."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from embft.data.pairs import Pairs
from embft.leaderboard.rows import Leaderboard
from embft.report.page import write_report
from tests.helpers.leaderboards import lora_lr, lora_lr_plans, make_leaderboard

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH"),
]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
EVIL = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='x'\">"
LONG = "a_word_without_an_end_" * 8


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    plans = lora_lr_plans()
    plans[0] = type(plans[0])(plans[0].params, 0.1, status="failed")
    return make_leaderboard(tmp_path_factory.mktemp("sweep"), plans)


@pytest.fixture(scope="module")
def file(leaderboard: Leaderboard) -> Path:
    path = leaderboard.folder.report_file()
    write_report(leaderboard, path)
    return path


class Opened:
    """A page together with everything that it complained about or asked for."""

    def __init__(self, page: Page, path: Path, hash_: str = "") -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri() + hash_)

    def foreign(self) -> list[str]:
        """Requests for anything but the file itself and what it made in memory."""
        return [url for url in self.requests[1:] if not url.startswith(("blob:", "data:"))]


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    context.set_offline(True)
    opened = Opened(context.new_page(), file)
    yield opened
    assert opened.complaints == []
    assert opened.foreign() == []
    context.close()


def column(page: Page, name: str) -> int:
    """The position of a column of the leaderboard by its title."""
    titles = [text.strip() for text in page.locator("#ranking thead th").all_text_contents()]
    return titles.index(name)


def shown_rows(page: Page) -> list[str]:
    """The configurations that the leaderboard shows, from the top."""
    return page.locator("#ranking tbody tr:not([hidden]) th a").all_text_contents()


def scroll_through(page: Page) -> None:
    """Unfold what is folded away and bring every chart into view once."""
    page.evaluate("document.querySelectorAll('#mattered details').forEach((d) => (d.open = true))")
    for plot in page.locator("[data-chart]").all():
        if plot.is_visible():
            plot.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-chart]')]"
        ".filter((p) => p.offsetParent).every((p) => p.querySelector('.vega-embed svg, svg.marks'))"
    )


def test_every_chart_comes_alive_without_a_complaint(opened: Opened) -> None:
    """All charts are drawn again by vega-embed under the strict policy."""
    scroll_through(opened.page)
    live = opened.page.locator("[data-chart].live").count()
    assert live == opened.page.locator("[data-chart]").count()
    assert live >= 10


def test_sorting_orders_rows_and_keeps_ranks(opened: Opened) -> None:
    """A click sorts, a second turns it round, a third restores the ranks' order."""
    page = opened.page
    ranked = shown_rows(page)
    ranks = dict(zip(ranked, page.locator("#ranking td.rank").all_text_contents(), strict=True))
    index = column(page, "trained weights")
    button = page.locator("#ranking thead th").nth(index).locator("button")
    button.click()
    values = [
        float(v) if (v := cell.get_attribute("data-v")) else -1.0
        for cell in page.locator(f"#ranking tbody td:nth-child({index + 1})").all()
    ]
    assert values == sorted(values, reverse=True)
    assert shown_rows(page) != ranked
    again = dict(
        zip(shown_rows(page), page.locator("#ranking td.rank").all_text_contents(), strict=True)
    )
    assert again == ranks
    button.click()
    button.click()
    assert shown_rows(page) == ranked


def test_filtering_hides_rows_and_says_how_many_are_left(opened: Opened) -> None:
    """Words and the tie box narrow the table down; ranks stay as they were."""
    page = opened.page
    everything = len(shown_rows(page))
    page.fill("#filter", "lora 16")
    found = shown_rows(page)
    assert 0 < len(found) < everything
    assert all("rank 16" in text for text in found)
    assert f"{len(found)} of {everything}" in page.inner_text("#shown")
    page.fill("#filter", "")
    page.check("#only-best")
    best = page.locator("#ranking tbody tr.may-be-best").count()
    assert len(shown_rows(page)) == best < everything


def test_columns_can_be_chosen(opened: Opened) -> None:
    """A hidden metric appears as a column and goes again."""
    page = opened.page
    page.click("details.menu summary")
    box = page.locator("#columns label", has_text="AUC-ROC").locator("input")
    box.check()
    header = page.locator("#ranking thead th", has_text="AUC-ROC")
    assert header.is_visible()
    box.uncheck()
    assert header.is_hidden()


def test_csv_holds_what_the_table_shows(opened: Opened) -> None:
    """A line for each row that the filter left, with full precision."""
    page = opened.page
    page.fill("#filter", "full")
    with page.expect_download() as download:
        page.click("#csv")
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert len(text.strip().splitlines()) == 1 + len(shown_rows(page))
    assert re.search(r'"0\.\d{6,}"', text)


def test_a_rows_link_opens_the_trials_page(opened: Opened, leaderboard: Leaderboard) -> None:
    """The link unfolds the page, marks the row, and shows spec and metrics."""
    page = opened.page
    trial = leaderboard.groups[1].best.trial
    page.click(f'#ranking a[href="#trial-{trial}"]')
    details = page.locator(f'[id="trial-{trial}"]')
    page.wait_for_function("(id) => document.getElementById(id).open", arg=f"trial-{trial}")
    assert details.locator("table.metrics tr").count() > 5
    assert details.locator("pre").is_visible()
    assert page.locator("#ranking tr.picked").get_attribute("data-trials") == trial


def test_an_address_with_a_trial_opens_it(
    browser: Browser, file: Path, leaderboard: Leaderboard
) -> None:
    """A link that someone sent leads to the failed trial and its log."""
    failed = next(row for row in leaderboard.rows if row.status == "failed")
    opened = Opened(browser.new_page(), file, f"#trial-{failed.trial}")
    details = opened.page.locator(f'[id="trial-{failed.trial}"]')
    assert details.get_attribute("open") is not None
    assert "FloatingPointError" in details.inner_text()
    opened.page.close()


def test_choosing_a_point_chooses_the_trial_everywhere(opened: Opened) -> None:
    """A click on a heatmap's cell marks the table's row and dims the other charts."""
    page = opened.page
    plot = page.locator('[data-chart="heatmap-rank-learning-rate"]')
    plot.scroll_into_view_if_needed()
    page.wait_for_selector('[data-chart="heatmap-rank-learning-rate"] svg.marks')
    cost = page.locator('[data-chart="cost-parameters"]')
    cost.scroll_into_view_if_needed()
    page.wait_for_selector('[data-chart="cost-parameters"] svg.marks')
    dots = cost.locator(".mark-symbol.role-mark path")
    assert {dot.get_attribute("opacity") for dot in dots.all()} <= {None, "1"}
    plot.scroll_into_view_if_needed()
    plot.locator(".mark-rect.role-mark path").first.click(position={"x": 12, "y": 8})
    page.wait_for_selector("#ranking tr.picked")
    page.wait_for_function(
        '() => [...document.querySelectorAll(\'[data-chart="cost-parameters"] '
        ".mark-symbol.role-mark path')].some((p) => Number(p.getAttribute('opacity')) < 0.5)"
    )
    page.keyboard.press("Escape")
    assert page.locator("#ranking tr.picked").count() == 0


def test_comparison_follows_the_two_that_are_chosen(opened: Opened) -> None:
    """Swapping the two turns every difference round."""
    page = opened.page

    def differences() -> list[float]:
        cells = page.locator("#versus table").first.locator("tbody td:nth-child(4)")
        texts = cells.all_text_contents()
        return [float(text.replace("\N{MINUS SIGN}", "-")) for text in texts]

    before = differences()
    assert any(before)
    page.click("#swap")
    assert differences() == [-value for value in before]
    page.select_option("#first", "0")
    page.select_option("#second", "1")
    assert page.locator("#versus .error").count() > 0
    page.select_option("#second", "0")
    assert "two different" in page.inner_text("#versus")


def test_errors_are_filtered_by_words(opened: Opened) -> None:
    """Only the pairs with the word are left."""
    page = opened.page
    page.fill("#error-filter", "subtle_mismatch")
    left = page.locator("#errors .error:not([hidden])")
    assert 0 < left.count() < page.locator("#errors .error").count()
    assert all("subtle_mismatch" in text for text in left.all_text_contents())


def test_dark_mode_by_system_and_by_hand(browser: Browser, file: Path) -> None:
    """The system's wish is followed, and the button overrules it."""
    page = browser.new_page(color_scheme="dark")
    opened = Opened(page, file)
    colour = "() => getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.click("#theme")
    light = page.evaluate(colour)
    assert dark != light
    assert page.inner_text("#theme") == "Dark"
    assert opened.complaints == []
    page.close()


def test_the_spec_can_be_copied(opened: Opened, leaderboard: Leaderboard) -> None:
    """The recommended trial's spec goes to the clipboard, or is selected where there is none."""
    page = opened.page
    page.click("#recommended-spec summary")
    page.click("#recommended-spec .copy")
    page.wait_for_function(
        "() => document.querySelector('#recommended-spec .copy').textContent !== 'Copy'"
    )
    assert leaderboard.recommended
    assert (
        page.inner_text("#recommended-spec pre").strip()
        == (leaderboard.recommended_yaml or "").strip()
    )


def test_a_phone_scrolls_in_one_direction_only(browser: Browser, file: Path) -> None:
    """At 390 pixels nothing is wider than the page."""
    page = browser.new_page(viewport={"width": 390, "height": 800})
    opened = Opened(page, file)
    scroll_through(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.complaints == []
    page.close()


def test_hostile_texts_do_not_run(browser: Browser, tmp_path: Path) -> None:
    """Code in texts, groups and messages is shown, also in tooltips and comparisons; a direction
    mark turns round no more than its own text.
    """
    turned = "\u202egnp.exe\u2066 \x1b[31mred "

    def edit(pairs: Pairs) -> Pairs:
        return Pairs(
            [turned + EVIL + text for text in pairs.text_1],
            [turned + EVIL + text for text in pairs.text_2],
            pairs.label,
            {name: [EVIL, *values[1:]] for name, values in pairs.groups.items()}
            | {LONG: [LONG + str(i % 3) for i in range(len(pairs))]},
        )

    columns = ("category", LONG)
    leaderboard = make_leaderboard(
        tmp_path, lora_lr_plans()[:6], edit=edit, name=EVIL + LONG, description=EVIL + LONG,
        group_columns=columns,
    )  # fmt: skip
    write_report(leaderboard, tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    opened = Opened(page, tmp_path / "report.html")
    scroll_through(page)
    page.locator("#versus .error").first.scroll_into_view_if_needed()
    assert page.title().endswith("embft report")
    assert page.locator("img").count() == 0
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "long words break"
    shown = page.locator("#errors .error .text").first
    assert "gnp.exe" in (shown.text_content() or "")
    assert EVIL in (shown.text_content() or "")
    # What stands after a text that ends turned round is read from left to right all the same.
    places = page.evaluate(
        "(e) => [...e.closest('.error').querySelectorAll('.text')]"
        ".map((t) => getComputedStyle(t).unicodeBidi)",
        shown.element_handle(),
    )
    assert set(places) <= {"isolate", "plaintext"}
    assert opened.complaints == []
    page.close()


def test_without_scripts_the_answer_and_the_pictures_stand(
    browser: Browser, tmp_path: Path
) -> None:
    """Table, charts and trials' pages need no script."""
    leaderboard = lora_lr(tmp_path)
    write_report(leaderboard, tmp_path / "report.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator("#ranking tbody tr").count() == 12
    assert page.locator("[data-chart] > svg").count() >= 10
    assert page.locator(".tools").first.is_hidden()
    context.close()


def test_a_page_of_a_running_sweep_has_live_charts_alone(
    browser: Browser, leaderboard: Leaderboard, tmp_path: Path
) -> None:
    """No picture was drawn while trials ran, and the browser draws every chart all the same."""
    write_report(leaderboard, tmp_path / "report.html", pictures=False)
    opened = Opened(browser.new_page(), tmp_path / "report.html")
    scroll_through(opened.page)
    assert opened.page.locator("[data-chart].live").count() >= 10
    charts = (tmp_path / "report.html").read_text().partition('id="mattered"')[2]
    assert "<svg" not in charts.partition('id="trials"')[0]
    assert opened.complaints == []
    opened.page.close()


def test_the_models_before_and_after_can_be_chosen(opened: Opened) -> None:
    """A further trial joins every chart in a colour of its own, and one that is left out goes."""
    page = opened.page
    scroll_through(page)
    legend = page.locator('[data-chart="roc"] .role-legend-label text')
    before = legend.all_text_contents()
    page.click("#before-after details.menu summary")
    boxes = page.locator("#compared input")
    names = [box.get_attribute("value") for box in boxes.all()]
    assert len(names) > len(before)
    boxes.nth(len(before)).check()
    page.wait_for_function(
        "(count) => document.querySelectorAll"
        "('[data-chart=roc] .role-legend-label text').length === count",
        arg=len(before) + 1,
    )
    assert legend.all_text_contents() == names[: len(before) + 1]
    boxes.nth(1).uncheck()
    page.wait_for_function(
        "(name) => ![...document.querySelectorAll"
        "('[data-chart=distributions] .role-mark text')].some((t) => t.textContent === name)",
        arg=names[1],
    )
    compared = page.locator(".compared > div:not([hidden]) dt").all_text_contents()
    assert compared == [names[0], *names[2 : len(before) + 1]]
    dots = page.locator(".compared > div:not([hidden]) .dot")
    colours = [dot.evaluate("(e) => getComputedStyle(e).backgroundColor") for dot in dots.all()]
    assert len(set(colours)) == len(colours)


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_axe_finds_no_serious_fault(
    browser: Browser, file: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    """axe-core: nothing serious or critical, with a trial's page open and every chart drawn."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(file.as_uri())
    scroll_through(page)
    for details in page.locator("#trials details.trial").all()[:3]:
        details.locator("summary").first.click()
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    grave = [v for v in found if v["impact"] in {"serious", "critical"}]
    assert not grave, [(v["id"], [n["target"] for n in v["nodes"]][:4]) for v in grave]
    context.close()


def test_a_keyboard_reaches_sorting_and_trials(opened: Opened) -> None:
    """Tab and Enter sort the table and open a trial's page; Escape lets go of it."""
    page = opened.page
    page.locator("#ranking thead button").nth(0).focus()
    page.keyboard.press("Enter")
    assert page.locator("#ranking th.rank").get_attribute("aria-sort") == "ascending"
    page.locator("#ranking tbody a").nth(0).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#trials details.trial[open]")
    assert page.locator("#ranking tr.picked").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#ranking tr.picked").count() == 0


def test_it_prints_in_black_on_white_without_its_controls(browser: Browser, file: Path) -> None:
    """In print the dark page is light, and buttons and closed trial pages are gone."""
    page = browser.new_page(color_scheme="dark")
    page.goto(file.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    for selector in (".tools", "#theme", "#trials details.trial"):
        assert page.locator(selector).first.is_hidden()
    assert page.locator("#leaderboard").is_visible()
    assert page.pdf(format="A4")[:5] == b"%PDF-"
    page.close()
