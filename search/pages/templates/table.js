"use strict";
// Tables whose rows are sorted by a press on their heads, filtered, and saved as CSV; cells are text, never markup.
const Tables = (() => {
  const ROWS = 100; // at once: a thousand trials with twenty columns would take a second to lay out

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const head = (key) => (key.includes(".") ? key // a knob keeps its name
    : key.replace(/_percent$/, ", %").replace(/_seconds$/, ", s").replaceAll("_", " "));
  function shown(value) {
    if (value === null) return "";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value !== "number" || Number.isInteger(value)) return String(value);
    return Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(5)));
  }

  function order(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }

  class DataTable {
    constructor(place, { label, filters = false }) {
      this.sorting = { column: null, descending: false };
      this.most = ROWS;
      this.status = element("p", { class: "status", role: "status" });
      this.table = element("table", { class: "data" });
      this.more = element("button", { type: "button" });
      this.more.addEventListener("click", () => { this.most += 10 * ROWS; this.show(); });
      if (filters) place.append(this.controls());
      const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label });
      scroll.append(this.table);
      place.append(this.status, scroll, this.more);
    }

    controls() {
      this.text = element("input", { type: "search", placeholder: "any text", "aria-label": "Show rows with this text" });
      this.state = element("select", { "aria-label": "Show trials of this state" }, element("option", { value: "" }, "every state"));
      this.save = element("button", { type: "button" }, "CSV");
      for (const control of [this.text, this.state]) control.addEventListener("input", () => this.show());
      this.save.addEventListener("click", () => download("trials.csv", csv({ columns: this.columns, rows: this.chosen() })));
      return element("div", { class: "controls" }, this.text, this.state, this.save);
    }

    // New data; sorting and filters stay as they are.
    update({ columns, rows }) {
      this.rows = rows;
      if (JSON.stringify(columns) !== JSON.stringify(this.columns)) {
        this.columns = columns;
        this.drawHead();
      }
      if (this.state) this.offerStates();
      this.show();
    }

    offerStates() {
      const at = this.columns.indexOf("state");
      const known = new Set([...this.state.options].map((option) => option.value));
      for (const state of new Set(this.rows.map((row) => row[at]))) {
        if (!known.has(state)) this.state.append(element("option", { value: state }, state.toLowerCase()));
      }
    }

    drawHead() {
      this.buttons = this.columns.map((key, column) => {
        const button = element("button", { type: "button" }, head(key));
        button.addEventListener("click", () => this.sort(column));
        return button;
      });
      const heads = this.buttons.map((button) => element("th", { scope: "col" }, button));
      this.table.replaceChildren(element("thead", {}, element("tr", {}, ...heads)), element("tbody"));
    }

    // Once down from the greatest number or up from the first word, then the other way round, then as it came.
    sort(column) {
      const down = this.rows.some((row) => typeof row[column] === "number");
      const { column: old, descending } = this.sorting;
      if (old !== column) this.sorting = { column, descending: down };
      else if (descending === down) this.sorting = { column, descending: !down };
      else this.sorting = { column: null, descending: false };
      this.buttons.forEach((button, index) => {
        const sorted = index === this.sorting.column;
        const value = this.sorting.descending ? "descending" : "ascending";
        if (sorted) button.parentElement.setAttribute("aria-sort", value);
        else button.parentElement.removeAttribute("aria-sort");
      });
      this.show();
    }

    // The rows that pass the filters, in order; rows without a value come last whichever way is up.
    chosen() {
      const text = this.text?.value.trim().toLowerCase() ?? "", state = this.state?.value ?? "";
      const at = this.columns.indexOf("state");
      const rows = this.rows.filter((row) => (!state || row[at] === state)
        && (!text || row.some((value) => shown(value).toLowerCase().includes(text))));
      const { column, descending } = this.sorting;
      if (column === null) return rows;
      const [full, empty] = [[], []];
      for (const row of rows) (row[column] === null ? empty : full).push(row);
      full.sort((a, b) => (descending ? order(b[column], a[column]) : order(a[column], b[column])));
      return full.concat(empty);
    }

    show() {
      const rows = this.chosen(), body = this.table.tBodies[0];
      if (!body) return;
      body.replaceChildren(...rows.slice(0, this.most).map((row) => element("tr", {}, ...row.map((value) => {
        return element("td", typeof value === "number" ? { class: "number" } : {}, shown(value));
      }))));
      this.status.textContent = rows.length === this.rows.length ? `${rows.length} rows` : `${rows.length} of ${this.rows.length} rows`;
      const hidden = rows.length - this.most;
      this.more.hidden = hidden <= 0;
      this.more.textContent = `Show ${Math.min(hidden, 10 * ROWS)} more`;
    }
  }

  // RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe in front.
  function csv({ columns, rows }) {
    const field = (value) => {
      if (typeof value === "number") return String(value);
      const text = value === null ? "" : String(value).replace(/^(?=[=+\-@\t\r])/, "'");
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [columns, ...rows].map((row) => row.map(field).join(",") + "\r\n").join("");
  }

  function download(name, text) {
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    element("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  }

  return { DataTable, csv, download };
})();
