/* The browser of rows. Texts come from data/rows.js and are set as text, never as HTML. The address keeps the view:
   rows.html#reason=near_duplicate, rows.html#q=heapq, rows.html#row=<id>. */
"use strict";

const rows = globalThis.reportRows;
const byId = new Map(rows.map((row) => [row.id, row]));
const $ = globalThis.jQuery;
const element = (id) => document.getElementById(id);
const wanted = new URLSearchParams(location.hash.slice(1));
const NOTHING = "\u2013";
const WITHHELD = "The text of this row is withheld: it was rejected for what it holds, is akin to such a row, or was rejected " +
  "before anybody looked for secrets in it.";

function make(tag, text = "", properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.textContent = text;
  return made;
}

function opener(id, label = id.slice(0, 10)) {
  const button = make("button", label, { type: "button" });
  button.setAttribute("aria-label", `look at row ${id}`);
  button.dataset.id = id;
  return button;
}

const asText = $.fn.dataTable.render.text();
const column = (title, name, more = {}) => ({ title, name, data: (row) => row[name] ?? NOTHING, render: asText, ...more });
const everything = (row) =>
  [row.id, row.instruction, row.alchemist_prompt, row.response, row.reason, row.license].filter(Boolean).join("\n");

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", follow);
follow();

const table = $("#rows").DataTable({
  data: rows,
  deferRender: true,
  autoWidth: false,
  order: [],
  pageLength: 25,
  lengthMenu: [10, 25, 50, 100],
  layout: { topStart: "info", topEnd: "search", bottomStart: "pageLength", bottomEnd: "paging" },
  language: { search: "Search all texts:", info: "rows _START_ to _END_ of _TOTAL_", infoFiltered: "(of _MAX_ in the sample)",
              infoEmpty: "no row", zeroRecords: "No row of the sample is like that." },
  columns: [
    { title: "row", name: "id", data: "id", orderable: false, render: (id, kind) => (kind === "display" ? opener(id) : id) },
    column("fate", "fate"),
    column("reason", "reason"),
    column("source", "source"),
    column("language", "language", { className: "rare" }),
    column("task", "task", { className: "rare" }),
    column("writer", "generator", { className: "rare" }),
    { title: "instruction", name: "instruction", data: (row) => row.instruction ?? "(no text: withheld)",
      render: { display: (text) => asText.display(text.length > 140 ? `${text.slice(0, 140)} …` : text),
                filter: (text, kind, row) => everything(row) } },
  ],
});
element("loading").remove();

/* filters: a list of the values of a column, with their counts */
for (const select of document.querySelectorAll("#filters select")) {
  const counts = new Map();
  for (const row of rows) {
    const value = row[select.dataset.name] ?? NOTHING;
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  select.append(new Option("all", ""));
  for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1])) select.append(new Option(`${value} (${count})`, value));
  select.value = counts.has(wanted.get(select.dataset.name)) ? wanted.get(select.dataset.name) : "";
  select.addEventListener("change", filter);
}
element("filters").addEventListener("reset", () => setTimeout(() => { table.search(""); filter(); }));
element("filters").addEventListener("submit", (event) => event.preventDefault());
if (wanted.get("q")) table.search(wanted.get("q"));
filter();
table.on("search", remember);

function filter() {
  for (const select of document.querySelectorAll("#filters select")) {
    const exactly = select.value && ((value) => value === select.value);
    table.column(`${select.dataset.name}:name`).search(exactly || "");
  }
  table.draw();
  remember();
}

function remember() {
  const view = new URLSearchParams();
  for (const select of document.querySelectorAll("#filters select")) if (select.value) view.set(select.dataset.name, select.value);
  if (table.search()) view.set("q", table.search());
  if (element("row").open) view.set("row", element("row").dataset.id);
  history.replaceState(null, "", `#${view}`);
}

/* one row, before and after */
function texts(row) {
  const part = (title, text, name, prompt) => {
    const box = make("div");
    const shown = make("pre", "", { tabIndex: 0 });
    if (prompt) shown.append(make("ins", prompt), "\n\n");
    shown.append(text);
    if (row.more[name]) shown.append(`\n[… ${row.more[name].toLocaleString("en")} more characters]`);
    box.append(make("h3", title), shown);
    return box;
  };
  const columns = make("div", "", { className: "columns" });
  columns.append(part(row.alchemist_prompt ? "Before: the instruction" : "Instruction", row.instruction, "instruction"));
  if (row.alchemist_prompt)
    columns.append(part("After: behind its prompt", row.instruction, "instruction", row.alchemist_prompt));
  return [columns, part("Response", row.response, "response")];
}

/* a rejected row beside the one that was kept in its place; lines that the other lacks are marked */
function besideTwin(row, twin) {
  const whole = (one) => `${one.instruction}\n\n${one.response}`;
  const part = (title, one, other) => {
    const box = make("div");
    const shown = make("pre", "", { tabIndex: 0 });
    const lines = new Set(whole(other).split("\n").map((line) => line.trim()));
    for (const line of whole(one).split("\n"))
      shown.append(line.trim() && !lines.has(line.trim()) ? make("mark", line) : line, "\n");
    box.append(make("h3", title), shown);
    return box;
  };
  const columns = make("div", "", { className: "columns" });
  columns.append(part("This row, rejected", row, twin), part("The row that was kept", twin, row));
  return [columns, make("p", "Lines that the other lacks are marked.", { className: "soft" })];
}

function pairs(entries) {
  const list = make("dl", "", { className: "pairs" });
  for (const [name, value] of entries) {
    const line = make("div");
    line.append(make("dt", name));
    line.append(value instanceof Node ? value : make("dd", value));
    list.append(line);
  }
  return list;
}

function family(ids) {
  const cell = make("dd");
  for (const id of ids) cell.append(byId.has(id) ? opener(id, id) : make("code", id), " ");
  if (!ids.length) cell.append("none");
  return cell;
}

function show(id) {
  const row = byId.get(id);
  const fate = row.fate === "rejected" ? `rejected as ${row.reason} by ${row.stage}` : row.fate;
  element("row-title").textContent = `${id}: ${fate}`;
  const content = element("row-content");
  content.replaceChildren();
  const twin = byId.get(row.twin);
  if (row.withheld) content.append(make("p", WITHHELD, { className: "missing" }));
  if (row.withheld && twin) content.append(make("h3", "The row that was kept in its place"), ...texts(twin));
  else if (!row.withheld) content.append(...(twin ? besideTwin(row, twin) : texts(row)));
  content.append(make("h3", "What the stages said"));
  const said = Object.entries(row.facts).flatMap(([stage, facts]) =>
    Object.entries(facts).map(([name, value]) => [`${stage}: ${name}`, value]));
  content.append(said.length ? pairs(said) : make("p", row.withheld ? "Withheld with the text." : "Nothing beyond its fate."));
  content.append(make("h3", "Where it comes from"));
  content.append(pairs([
    ["source", row.source ?? NOTHING], ["licence", row.license ?? NOTHING], ["writer", row.generator ?? NOTHING],
    ["language", row.language ?? NOTHING], ["task", row.task ?? NOTHING],
    ...(row.twin ? [["kept in its place", family([row.twin])]] : []),
    ["parents", family(row.parents)], ["children", family(row.children)],
  ]));
  const dialog = element("row");
  dialog.dataset.id = id;
  const order = shownIds();
  element("previous").disabled = order.indexOf(id) < 1;
  element("next").disabled = !(order.indexOf(id) < order.length - 1 && order.includes(id));
  if (!dialog.open) dialog.showModal();
  if (document.activeElement.disabled || !dialog.contains(document.activeElement)) element("close").focus(); // or no key arrives
  dialog.scrollTop = 0;
  remember();
}

const shownIds = () => table.rows({ search: "applied" }).data().toArray().map((row) => row.id);
function step(by) {
  const order = shownIds();
  const next = order[order.indexOf(element("row").dataset.id) + by];
  if (next) show(next);
}
element("previous").addEventListener("click", () => step(-1));
element("next").addEventListener("click", () => step(1));
element("close").addEventListener("click", () => element("row").close());
element("row").addEventListener("close", remember);
element("row").addEventListener("keydown", (event) => {
  if (event.target.closest("pre")) return; // the arrows scroll a text
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-id]");
  if (button) show(button.dataset.id);
});
if (byId.has(wanted.get("row"))) show(wanted.get("row"));
