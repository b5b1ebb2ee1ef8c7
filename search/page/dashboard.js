"use strict";
// Draws the figures of the page in the reader's colours and width, and again when either changes.
(() => {
  const { figures, dark } = JSON.parse(document.getElementById("figures").textContent);
  const darkGround = matchMedia("(prefers-color-scheme: dark)");
  const narrowPage = matchMedia("(max-width: 640px)");

  // A deep copy, as plotly writes into what it is given; every light colour becomes its dark partner on a dark ground.
  function coloured(value) {
    if (typeof value === "string") return darkGround.matches ? (dark[value] ?? value) : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item)]));
  }

  function draw(figure) {
    const place = document.getElementById(figure.name);
    const layout = coloured(narrowPage.matches ? figure.narrow_layout : figure.layout);
    place.style.minHeight = `${layout.height}px`;
    return Plotly.react(place, coloured(figure.data), layout, {
      responsive: true,
      displaylogo: false,
      displayModeBar: narrowPage.matches ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      toImageButtonOptions: { format: "svg", filename: figure.name },
    });
  }

  async function drawAll() {
    for (const figure of figures) {
      await draw(figure);
      await new Promise((next) => setTimeout(next)); // lets the page answer between two figures
    }
    document.documentElement.dataset.drawn = darkGround.matches ? "dark" : "light";
  }

  darkGround.addEventListener("change", drawAll);
  narrowPage.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => figures.forEach((figure) => Plotly.Plots.resize(figure.name)));
  drawAll();
})();
