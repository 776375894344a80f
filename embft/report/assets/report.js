// The page works without this script; with it the table sorts and filters, and the charts answer.
"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const all = (selector, within) => Array.from((within || document).querySelectorAll(selector));
  const byId = (id) => document.getElementById(id);
  for (const element of all(".tools, .copy, .pick, #theme")) element.hidden = false;

  // Light and dark. A page opened from a file may have no storage.
  const theme = byId("theme");
  const isDark = () =>
    (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  function showTheme() {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-pressed", String(isDark()));
  }
  try { root.dataset.theme = localStorage.getItem("embft-theme") || ""; } catch (error) { /* as the system has it */ }
  if (!root.dataset.theme) delete root.dataset.theme;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("embft-theme", root.dataset.theme); } catch (error) { /* for this visit only */ }
    showTheme();
  });
  showTheme();

  const table = byId("ranking");
  const original = table ? Array.from(table.tBodies[0].rows) : [];
  if (table) setUpTable();

  // The worst errors.
  const errorFilter = byId("error-filter");
  if (errorFilter) {
    const errors = all(".error").map((element) => [element, element.textContent.toLowerCase()]);
    errorFilter.addEventListener("input", () => {
      const words = errorFilter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const [element, text] of errors) {
        element.hidden = !words.every((word) => text.includes(word));
        count += element.hidden ? 0 : 1;
      }
      if (words.length) for (const more of all(".errors details")) more.open = true;
      byId("errors-shown").textContent = words.length ? count + " of " + errors.length + " shown" : "";
    });
  }

  // Two models side by side. Every number was computed before; this only shows it.
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const shape = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const plain = (value, digits) => value.toFixed(digits === undefined ? 3 : digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "\u2212");
  const signed = (value) => (value > 0 ? "+" : "") + plain(value);
  function diffBar(low, middle, high, reach) {
    const at = (value) => 75 + (Math.max(-reach, Math.min(reach, value)) / reach) * 70;
    const svg = shape("svg", { class: "diff", viewBox: "0 0 150 16", width: 150, height: 16, "aria-hidden": "true" });
    svg.append(
      shape("line", { class: "zero", x1: 75, x2: 75, y1: 1, y2: 15 }),
      shape("line", { class: "reach", x1: at(low), x2: at(high), y1: 8, y2: 8 }),
      shape("circle", { class: "point", cx: at(middle), cy: 8, r: 3.4 }));
    return svg;
  }
  // Metrics have units of their own, so each has its own scale; the groups of a column share one.
  function diffTable(title, rows, sign, shared) {
    const reaches = rows.map((row) => Math.max(Math.abs(row[4]), Math.abs(row[5])));
    const widest = Math.max(...reaches) || 1;
    const body = rows.map(([name, a, b, difference, low, high, better], index) => {
      const reach = shared ? widest : reaches[index] || 1;
      const who = sign * better;
      const word = who > 0 ? "first is better" : who < 0 ? "second is better" : "no significant difference";
      const [one, two, gap, from, to] = sign > 0 ? [a, b, difference, low, high] : [b, a, -difference, -high, -low];
      return make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "n" }, plain(one)),
        make("td", { class: "n" }, plain(two)), make("td", { class: "n" }, signed(gap)),
        make("td", { class: "n soft" }, plain(from) + " to " + plain(to)),
        make("td", {}, diffBar(from, gap, to, reach)),
        make("td", { class: who > 0 ? "wins" : who < 0 ? "loses" : "soft" }, word));
    });
    const head = [title, "first", "second", "difference", "95 % interval", "", ""].map((text, i) =>
      make("th", i > 0 && i < 5 ? { scope: "col", class: "n" } : { scope: "col" }, text));
    return make("div", { class: "scroll card", tabindex: "0" }, make("table", {},
      make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body)));
  }
  function apartCard(id, first, second) {
    const two = data.compare, scores = two.pairs[id], texts = two.texts[id];
    const card = make("article", { class: "error" });
    if (texts) {
      card.append(make("p", { class: "meta" }, (texts[2] ? texts[2] + " · " : "") + "label " + scores[0]),
        make("p", { class: "text", dir: "auto" }, texts[0]), make("p", { class: "text", dir: "auto" }, texts[1]));
    } else card.append(make("p", { class: "meta" }, "pair " + id + " · label " + scores[0]));
    card.append(make("p", { class: "scores" }, make("span", { class: "own" }, "first ", make("b", {}, plain(scores[first + 1], 2))),
      make("span", { class: "own" }, "second ", make("b", {}, plain(scores[second + 1], 2)))));
    return card;
  }
  function summary(wins, losses, count) {
    if (!wins && !losses) return "No significant difference in any of " + count + " metrics";
    if (wins === count || losses === count) return "The " + (wins ? "first" : "second") + " is better in all " + count + " metrics";
    const parts = [];
    if (wins) parts.push("the first is better in " + wins);
    if (losses) parts.push("the second is better in " + losses);
    if (wins + losses < count) parts.push("no significant difference in " + (count - wins - losses));
    return "Of " + count + " metrics, " + parts.join("; ");
  }
  function showVersus() {
    const two = data.compare, first = Number(byId("first").value), second = Number(byId("second").value);
    const place = byId("versus");
    if (first === second) {
      place.replaceChildren(make("p", { class: "empty" }, "Choose two different models."));
      return;
    }
    const sign = first < second ? 1 : -1;
    const couple = two.couples[Math.min(first, second) + "-" + Math.max(first, second)];
    const wins = couple.metrics.filter((row) => sign * row[6] > 0).length;
    const losses = couple.metrics.filter((row) => sign * row[6] < 0).length;
    const parts = [make("p", { class: "summary" }, summary(wins, losses, couple.metrics.length)), diffTable("metric, test", couple.metrics, sign, false)];
    for (const [column, rows] of Object.entries(couple.groups))
      parts.push(rows.length > 12
        ? make("details", { class: "more" }, make("summary", {}, "Margin by " + column + ", " + rows.length + " values"), diffTable(column, rows, sign, true))
        : make("h4", {}, "Margin by " + column), ...(rows.length > 12 ? [] : [diffTable(column, rows, sign, true)]));
    const cards = couple.apart.map((id) => apartCard(id, first, second));
    parts.push(make("h4", {}, "The pairs on which they disagree most"), make("div", { class: "two cards" }, ...cards));
    place.replaceChildren(...parts);
  }
  if (data.compare && data.compare.models) {
    const first = byId("first"), second = byId("second");
    [first.value, second.value] = data.compare.start.map(String);
    first.addEventListener("change", showVersus);
    second.addEventListener("change", showVersus);
    byId("swap").addEventListener("click", () => { [first.value, second.value] = [second.value, first.value]; showVersus(); });
    showVersus();
  }

  // Copying: the clipboard is not open to every page, so fall back on a selection.
  for (const button of all(".copy"))
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("pre");
      let done = true;
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch (error) {
        getSelection().selectAllChildren(code);
        done = document.execCommand("copy");
      }
      button.textContent = done ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });

  function setUpTable() {
    // The table. Python ordered the rows; sorting another way never changes a rank.
    const body = table.tBodies[0];
    const headers = all("thead th", table);
    const key = (row, column) => {
      const cell = row.cells[column];
      return cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent.trim();
    };
    function compare(a, b) {
      if (a === b) return 0;
      if (a === "" || b === "") return a === "" ? 1 : -1;
      const x = Number(a), y = Number(b);
      return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
    }
    function sortBy(column) {
      const was = headers[column].getAttribute("aria-sort");
      const numeric = headers[column].classList.contains("n") || headers[column].classList.contains("bar");
      const first = numeric ? "descending" : "ascending";
      const other = numeric ? "ascending" : "descending";
      const next = was === "none" ? first : was === first ? other : "none";
      headers.forEach((header) => header.setAttribute("aria-sort", "none"));
      headers[column].setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const rows = original.map((row, index) => [key(row, column), index, row]);
      if (next !== "none")
        rows.sort((a, b) => (a[0] === "" || b[0] === "" ? compare(a[0], b[0]) : sign * compare(a[0], b[0])) || a[1] - b[1]);
      body.append(...rows.map((entry) => entry[2]));
    }
    headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => sortBy(column)));

    const filter = byId("filter"), onlyBest = byId("only-best"), shown = byId("shown");
    const texts = original.map((row) => row.textContent.toLowerCase() + " " + row.dataset.trials.toLowerCase());
    function applyFilter() {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      original.forEach((row, index) => {
        const fits = words.every((word) => texts[index].includes(word)) && (!onlyBest.checked || row.classList.contains("may-be-best"));
        row.hidden = !fits;
        count += fits ? 1 : 0;
      });
      shown.textContent = count === original.length ? "" : count + " of " + original.length + " shown";
    }
    filter.addEventListener("input", applyFilter);
    onlyBest.addEventListener("change", applyFilter);

    function showColumn(box) {
      for (const row of table.rows) row.cells[Number(box.dataset.column)].hidden = !box.checked;
    }
    const narrow = matchMedia("(max-width: 44rem)").matches;
    for (const box of all("#columns input")) {
      box.addEventListener("change", () => showColumn(box));
      // A phone has no room for parameters that the configuration's name tells already.
      if (narrow && headers[Number(box.dataset.column)].classList.contains("param")) { box.checked = false; showColumn(box); }
    }
    document.addEventListener("click", (event) => {
      for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
    });

    // A cell that begins like a formula would run in a spreadsheet.
    const guarded = (text) => '"' + (/^\s*[=+\-@|%\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) && !/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? "'" + text : text).replace(/"/g, '""') + '"';
    byId("csv").addEventListener("click", () => {
      const lines = [headers.map((header) => guarded(header.textContent.trim())).join(",")];
      for (const row of body.rows) {
        if (row.hidden) continue;
        const cells = Array.from(row.cells).map((cell, column) => {
          if (column === 0) return cell.textContent.trim();
          if (column === 1) return cell.querySelector("a").textContent;
          return headers[column].classList.contains("bar") ? (cell.querySelector("svg") || cell).getAttribute("aria-label") || "" : cell.dataset.v;
        });
        lines.push(cells.map(guarded).join(","));
      }
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
      link.download = "leaderboard.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (event.target.closest("a") || !row) return;
      const trial = row.dataset.trials.split(" ")[0];
      pick(picked === trial ? "" : trial);
    });
  }

  // Trial pages: an address opens the page that it names.
  function openTarget() {
    let name = "";
    try { name = decodeURIComponent(location.hash.slice(1)); } catch (error) { return; }
    const target = name && byId(name);
    if (!target || !target.classList.contains("trial")) return;
    target.open = true;
    target.scrollIntoView();
    pick(name.slice("trial-".length));
  }

  // One chosen trial for the table and every chart.
  const views = new Map();
  let picked = "";
  function pick(trial) {
    picked = trial;
    for (const row of original) row.classList.toggle("picked", trial !== "" && row.dataset.trials.split(" ").includes(trial));
    for (const view of views.values()) view.signal("picked", trial).runAsync();
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") pick(""); });

  // The models of the charts before and after: which are shown, and in which colours. The baseline
  // is grey, so that colour means a trained model.
  const compared = byId("compared");
  const members = all(".compared > div");
  let shown = null, colours = null;
  function chooseModels() {
    const chosen = all("input:checked", compared).map((box) => box.value);
    for (const box of all("input", compared))
      box.disabled = box.checked ? chosen.length === 1 : chosen.length >= data.palette.length;
    const free = data.palette.slice();
    const grey = new Set(members.filter((m) => "baseline" in m.dataset).map((m) => m.dataset.model));
    shown = chosen;
    colours = chosen.map((name) => (grey.has(name) ? data.grey : free.shift())).concat(free).slice(0, data.palette.length);
    for (const member of members) {
      const place = chosen.indexOf(member.dataset.model);
      member.hidden = place < 0;
      const used = data.palette.indexOf(colours[place]) + 1;
      member.querySelector(".dot").className = "dot " + (used ? "m" + used : "grey");
    }
    for (const [plot, view] of views) showModels(plot, view);
  }
  function showModels(plot, view) {
    if (!shown || !data.charts[plot.dataset.chart].params.some((param) => param.name === "shown")) return;
    view.signal("shown", shown).signal("colours", colours).runAsync();
  }
  if (compared) compared.addEventListener("change", chooseModels);

  // On a narrow page a legend in one line would be cut off.
  const fitting = (plot) =>
    plot.clientWidth > 430 ? data.config : Object.assign({}, data.config, { legend: Object.assign({}, data.config.legend, { columns: 2, columnPadding: 10 }) });
  // The charts' library lies packed in the page. The policy admits it, unpacked, by its hash.
  let ready = null;
  function library() {
    ready = ready || (async () => {
      const packed = Uint8Array.from(atob(byId("library").textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const script = document.createElement("script");
      script.textContent = await new Response(stream).text();
      document.head.append(script);
    })();
    return ready;
  }
  async function draw(plot) {
    await library();
    const spec = Object.assign({}, data.charts[plot.dataset.chart]);
    const still = plot.innerHTML;
    plot.classList.add("live");
    try {
      const result = await window.vegaEmbed(plot, spec, {
        ast: true, actions: false, renderer: "svg", mode: "vega-lite", config: fitting(plot),
        defaultStyle: false, tooltip: { disableDefaultStyle: true, theme: "own" },
      });
      views.set(plot, result.view);
      if (picked) result.view.signal("picked", picked).runAsync();
      showModels(plot, result.view);
      result.view.addEventListener("click", (event, item) => {
        const trial = item && item.datum && item.datum.trial;
        pick(!trial || trial === picked ? "" : trial);
      });
    } catch (error) {
      plot.innerHTML = still;
      console.error(error);
    }
  }
  if (byId("library") && window.DecompressionStream) {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries)
        if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
    }, { rootMargin: "300px" });
    for (const plot of all("[data-chart]")) seen.observe(plot);
  }
  addEventListener("hashchange", openTarget);
  openTarget();
})();
