"use strict";
// Draws the figures of the page in the reader's colours and width as they come into view, and again when either changes.
const Figures = (() => {
  const darkGround = matchMedia("(prefers-color-scheme: dark)");
  const narrowPage = matchMedia("(max-width: 640px)");
  const figures = new Map(); // name -> what the page's data say
  const tables = new Map(); // name -> the open table under a figure
  const waiting = new Set(); // names that have to be drawn, or drawn again
  const inView = new Set();
  const root = document.documentElement;
  let dark = {};
  let printing = false;
  let trials = null;

  // A deep copy, as plotly writes into what it is given; every light colour becomes its dark partner on a dark ground.
  function coloured(value) {
    if (typeof value === "string") return darkGround.matches && !printing ? (dark[value] ?? value) : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item)]));
  }

  // A constant uirevision keeps what the reader did (zoom, traces switched off) when the data change.
  function draw(name) {
    waiting.delete(name);
    const figure = figures.get(name), place = document.getElementById(name);
    const layout = { ...coloured(narrowPage.matches ? figure.narrow_layout : figure.layout), uirevision: "kept" };
    place.style.minHeight = `${layout.height}px`;
    return Plotly.react(place, coloured(figure.data), layout, {
      responsive: true,
      displaylogo: false,
      displayModeBar: narrowPage.matches ? false : "hover",
      modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d", "autoScale2d"],
    });
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) inView.add(target.id);
      else inView.delete(target.id);
      if (isIntersecting && waiting.has(target.id)) draw(target.id);
    }
    root.dataset.opened = "yes"; // what is in view is drawn
  }, { rootMargin: "200px" });

  // The figures out of view, one by one while the page has nothing else to do.
  const idle = () => new Promise((next) => (window.requestIdleCallback ?? setTimeout)(next));
  async function drawRest() {
    while (waiting.size) {
      await idle();
      const [name] = waiting;
      if (name !== undefined) await draw(name);
    }
    root.dataset.drawn = darkGround.matches ? "dark" : "light";
  }

  function redrawAll() {
    delete root.dataset.drawn;
    for (const name of figures.keys()) waiting.add(name);
    for (const name of inView) draw(name);
    drawRest();
  }

  // -- what a reader can do with a figure ----------------------------------------------------------------------------

  // The figure as it is seen, with its title on a ground of its own.
  async function picture(name, format) {
    if (waiting.has(name)) await draw(name);
    const place = document.getElementById(name), figure = figures.get(name);
    const { data, layout } = place, extra = 44;
    const title = [figure.title, figure.run].filter(Boolean).join(" · ");
    const legend = { ...layout.legend };
    if (legend.yref === "container") legend.y = 1 - extra / (layout.height + extra);
    const whole = {
      ...layout,
      legend,
      margin: { ...layout.margin, t: (layout.margin?.t ?? 44) + extra },
      paper_bgcolor: getComputedStyle(root).getPropertyValue("--surface").trim(),
      title: { text: escaped(title), x: 0, xref: "container", xanchor: "left", yref: "container", y: 1, yanchor: "top", pad: { t: 14, l: 16 }, font: { size: 16 } },
    };
    return Plotly.downloadImage({ data, layout: whole }, {
      format, filename: name, width: place.clientWidth, height: layout.height + extra, scale: format === "png" ? 2 : 1,
    });
  }

  const escaped = (text) => text.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);

  function onPress(event) {
    const button = event.target.closest("button[data-save]");
    if (!button) return;
    const { save, figure } = button.dataset;
    if (save === "csv") Tables.download(`${figure}.csv`, Tables.csv(figures.get(figure).table));
    else picture(figure, save);
  }

  // `toggle` does not bubble; it is caught on its way down.
  function onToggle({ target }) {
    const name = target.dataset?.figure;
    if (!name || !target.open || tables.get(name)?.place === target) return;
    const table = new Tables.DataTable(target, { label: `Table: ${figures.get(name).title}` });
    table.place = target;
    table.update(figures.get(name).table);
    tables.set(name, table);
  }

  // -- data ----------------------------------------------------------------------------------------------------------

  // Takes the data of a page, the first or a newer one, and draws what differs. Places without a figure are forgotten.
  function update(data) {
    dark = data.dark;
    const old = new Map(figures);
    figures.clear();
    for (const figure of data.figures) {
      figures.set(figure.name, figure);
      const place = document.getElementById(figure.name);
      if (place.classList.contains("js-plotly-plot") && JSON.stringify(old.get(figure.name)) === JSON.stringify(figure)) continue;
      waiting.add(figure.name);
      watcher.observe(place);
      if (inView.has(figure.name) && place.isConnected) draw(figure.name);
      const table = tables.get(figure.name);
      if (table?.place.isConnected) table.update(figure.table);
      else tables.delete(figure.name);
    }
    for (const name of waiting) if (!figures.has(name)) waiting.delete(name);
    if (data.trials) {
      trials ??= new Tables.DataTable(document.getElementById("trial-table"), { label: "Trials", filters: true });
      trials.update(data.trials);
    }
  }

  function print(now) {
    printing = now;
    for (const name of figures.keys()) draw(name);
  }

  document.addEventListener("click", onPress);
  document.addEventListener("toggle", onToggle, true);
  darkGround.addEventListener("change", redrawAll);
  narrowPage.addEventListener("change", redrawAll);
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  update(JSON.parse(document.getElementById("page-data").textContent));
  drawRest();
  return { update };
})();
