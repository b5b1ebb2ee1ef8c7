"use strict";
// Keeps the page of a run or of a batch up to date while it goes, and asks it to stop. Only what differs is exchanged, so that zoom,
// filters, open tables and the place on the page stay as they are.
(() => {
  const EVERY_MS = 3000;
  const status = document.getElementById("live-status"), stop = document.getElementById("stop");
  const token = takeToken();
  let version = null;
  let trouble = "";

  // The token comes behind the #, which no server and no log sees, and moves to where a reload finds it.
  function takeToken() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given) {
      sessionStorage.setItem("token", given);
      history.replaceState(null, "", location.pathname);
    }
    return sessionStorage.getItem("token");
  }

  async function refresh() {
    const headers = version ? { "If-None-Match": version } : {};
    const answer = await fetch(location.pathname, { headers, cache: "no-store" }).catch(() => null);
    if (answer === null) trouble = "The live view does not answer; is it still served? This is the last page that it sent.";
    else trouble = answer.ok || answer.status === 304 ? "" : await answer.text();
    if (answer?.status === 200) {
      bring(new DOMParser().parseFromString(await answer.text(), "text/html"));
      version = answer.headers.get("ETag");
    }
    showStatus();
  }

  // Exchanges parts of the page for those of a newer one. Its scripts do not run: it is only parsed.
  function bring(fresh) {
    for (const id of ["head", "configuration", "live-run", "together"]) {
      if (fresh.getElementById(id)) exchange(document.getElementById(id), fresh.getElementById(id));
    }
    for (const row of fresh.querySelectorAll("tr[data-row]")) bringRow(row);
    for (const section of fresh.querySelectorAll("main > section[data-drawn]")) {
      const old = document.getElementById(section.id);
      if (old.dataset.drawn !== section.dataset.drawn) old.replaceWith(document.adoptNode(section));
      else if (section.dataset.drawn === "yes") section.querySelectorAll("figure.card").forEach(bringCard);
    }
    document.title = fresh.title;
    Figures.update(JSON.parse(fresh.getElementById("page-data").textContent));
  }

  function bringCard(card) {
    const old = document.getElementById(card.id);
    if (old.dataset.filled !== card.dataset.filled) old.replaceWith(document.adoptNode(card));
    else exchange(old.querySelector("figcaption"), card.querySelector("figcaption"));
  }

  // Cell by cell, so that a button keeps the focus while the numbers beside it change.
  function bringRow(row) {
    const old = document.querySelector(`tr[data-row="${CSS.escape(row.dataset.row)}"]`);
    const cells = [...row.cells]; // one that is taken over leaves its row
    [...old.cells].forEach((cell, column) => {
      const fresh = cells[column];
      if ("since" in cell.dataset && "since" in fresh.dataset) cell.dataset.since = fresh.dataset.since;
      else exchange(cell, fresh);
    });
  }

  function exchange(old, fresh) {
    if (!old.isEqualNode(fresh)) old.replaceWith(document.adoptNode(fresh));
  }

  function duration(seconds) {
    const [divisor, unit] = [[86400, "days"], [3600, "h"], [60, "min"]].find(([size]) => seconds >= 2 * size) ?? [1, "s"];
    return `${Math.round(seconds / divisor)} ${unit}`;
  }

  function showStatus() {
    const { last, stopping, finished } = document.getElementById("live-run").dataset;
    const age = last ? `last record ${duration(Math.max(0, Date.now() / 1000 - Number(last)))} ago` : "nothing recorded yet";
    const state = finished === "yes" ? "Finished." : stopping === "yes" ? "Asked to stop; its driver has not noticed yet." : "";
    status.textContent = trouble || [state, `Live: ${age}.`].filter(Boolean).join(" ");
    stop.hidden = !token || finished === "yes";
    stop.disabled = stopping === "yes";
    document.body.classList.toggle("may-stop", Boolean(token));
    for (const cell of document.querySelectorAll("[data-since]")) {
      cell.textContent = `${duration(Math.max(0, Date.now() / 1000 - Number(cell.dataset.since)))} ago`;
    }
  }

  async function askToStop(path, what) {
    if (!confirm(`Stop ${what}? Everything is kept, and --resume goes on with it.`)) return;
    const answer = await fetch(path, { method: "POST", headers: { "X-Token": token } }).catch(() => null);
    trouble = answer?.ok ? "" : answer ? await answer.text() : "The live view does not answer.";
    if (answer?.ok) await refresh();
    showStatus();
  }

  stop.addEventListener("click", () => askToStop(`${location.pathname}stop`, stop.dataset.what));
  document.addEventListener("click", ({ target }) => {
    if (target.dataset?.stop) askToStop(target.dataset.stop, target.dataset.what);
  });
  setInterval(() => document.hidden || refresh(), EVERY_MS);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  showStatus();
})();
