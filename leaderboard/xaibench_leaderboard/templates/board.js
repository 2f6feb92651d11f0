"use strict";
// Sorting by a click or by keyboard. Without this script the tables are complete, in the order they were written.

function cellAt(row, column) {
  // Cells of a row without numbers are merged: count the columns they cover.
  let start = 0;
  return Array.from(row.cells).find((cell) => (start += cell.colSpan) > column);
}

function valueOf(row, column) {
  const text = cellAt(row, column).dataset.value;
  return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

function compare(one, other) {
  return typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other));
}

function sort(header) {
  const now = header.getAttribute("aria-sort");
  const next = now === null ? header.dataset.first : now === "ascending" ? "descending" : "ascending";
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", next);
  const body = header.closest("table").querySelector("tbody.methods");
  const sign = next === "ascending" ? 1 : -1;
  const rows = Array.from(body.rows, (row) => [valueOf(row, header.cellIndex), row]);
  // What has no value stays last, whichever way the rest is sorted.
  rows.sort(([one], [other]) => (one === "") - (other === "") || sign * compare(one, other));
  for (const [, row] of rows) body.append(row);
}

for (const header of document.querySelectorAll("table.sortable thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...header.childNodes);
  header.append(button);
  button.addEventListener("click", () => sort(header));
}
