"use strict";

/* Sortable tables: the first number of a cell counts; without one in any cell, its text. Empty cells go last. */
const EMPTY = "–";
function sort(table, column, down) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => {
    const text = row.cells[column].textContent.trim();
    return { row, text, number: text === EMPTY ? NaN : parseFloat(text) };
  });
  const numeric = rows.some((one) => !isNaN(one.number)) && column > 0;
  const absent = (one) => (numeric ? isNaN(one.number) : one.text === EMPTY);
  rows.sort((a, b) => {
    if (absent(a) || absent(b)) return absent(a) - absent(b);
    const order = numeric ? a.number - b.number : a.text.localeCompare(b.text);
    return down ? -order : order;
  });
  body.append(...rows.map((one) => one.row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(table, column, down);
    });
  });
}

/* The gallery: a word of a caption shows where the models of its row look for it. */
for (const word of document.querySelectorAll("table.gallery button.word")) {
  const show = (which) => word.closest("tr").style.setProperty("--word", which);
  for (const event of ["mouseenter", "focus"]) word.addEventListener(event, () => show(word.dataset.word));
  for (const event of ["mouseleave", "blur"]) word.addEventListener(event, () => show(0));
}
