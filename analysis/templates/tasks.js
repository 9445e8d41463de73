/* The verdict grid: a click on a verdict shows what was judged and what the model wrote, as text. */
"use strict";

const grid = globalThis.reportTasks;
const element = (id) => document.getElementById(id);
const lines = [...document.querySelectorAll("#grid tbody tr")];

document.addEventListener("click", (event) => {
  const button = event.target.closest("#grid button");
  if (!button) return;
  const [task, cells] = grid.rows[Number(button.dataset.row)];
  const place = Number(button.dataset.column);
  const cell = cells[place];
  const { run, name } = grid.columns[place];
  element("task-title").textContent = `${task}, ${run}, ${name}`;
  const which = cell.samples > 1 ? ` (${cell.passed} of ${cell.samples} samples pass; the first that fails is shown)` : "";
  element("task-verdict").textContent = `${cell.passes ? "passes" : cell.status}${which}${cell.reason ? `: ${cell.reason}` : ""}`;
  for (const name of ["program", "answer"]) {
    const more = cell.more[name] ? `\n[… ${cell.more[name].toLocaleString("en")} more characters]` : "";
    element(`task-${name}`).textContent = cell.texts[name] === undefined ? "It is not in this report." : cell.texts[name] + more;
  }
  element("task").showModal();
});
element("close").addEventListener("click", () => element("task").close());

function count() {
  const only = element("only-changed").checked;
  for (const line of lines) line.hidden = only && line.dataset.differs !== "1";
  const shown = lines.filter((line) => !line.hidden).length;
  element("task-count").textContent = `${shown} of ${lines.length} tasks`;
}
element("only-changed").addEventListener("change", count);
count();
