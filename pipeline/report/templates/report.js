"use strict";
// The page is complete without this: it lays out what is below the first screen once that is painted, adds what a mark says when it is pointed at, sorting, and opens all for printing.
addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => document.documentElement.classList.add("whole"), 200)));
const tip = document.getElementById("tip");
const NEAR = 28;

/** The mark under the pointer or the nearest one within reach, of those that say something. */
function markAt(svg, x, y) {
  const under = document.elementFromPoint(x, y)?.closest("[aria-label]");
  if (under && under !== svg && svg.contains(under)) return under;
  let best = null, least = NEAR * NEAR;
  for (const mark of svg.querySelectorAll("[aria-label]")) {
    const box = mark.getBoundingClientRect();
    const distance = (box.x + box.width / 2 - x) ** 2 + (box.y + box.height / 2 - y) ** 2;
    if (distance < least) [best, least] = [mark, distance];
  }
  return best;
}

function point(event) {
  const svg = event.target.closest?.(".chart");
  const mark = svg && markAt(svg, event.clientX, event.clientY);
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.getAttribute("aria-label");
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - box.width - 8)) + "px";
  tip.style.top = Math.max(4, event.clientY - box.height - 12) + "px";
}
document.addEventListener("pointermove", point);
document.addEventListener("pointerdown", point);
document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

function sortBy(table, column, header) {
  const up = header.getAttribute("aria-sort") === "descending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = (row) => {
    const text = row.cells[column].dataset.value ?? row.cells[column].textContent.trim().replace("−", "-");
    const value = Number.parseFloat(text);
    return Number.isNaN(value) || !/^[+-]?\d/.test(text) ? text : value;
  };
  const compare = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].sort((a, b) => (up ? 1 : -1) * compare(key(a), key(b)));
  table.tBodies[0].append(...rows);
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    if (!header.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => sortBy(table, column, header));
  });
}

let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
