// A schematic head from below, in front and the side, with a mark where each bleed is.

import { element } from "./dom.js";
import { place, t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
/** @typedef {[number, number, number]} Place */
/** @typedef {{ name: string, left: string, right: string, across: 0 | 1, down: 1 | 2, turned: boolean, head: string, brain: string, box: [number, number, number, number] }} View */

/** @type {View[]} */
const VIEWS = [ // the brain's box in each drawing, and which way across it the patient's axes run
  { name: "from below", left: "R", right: "L", across: 0, down: 1, turned: false,
    head: "M50 4 C46 4 44 9 40 11 C22 15 11 32 11 54 C11 78 28 97 50 97 C72 97 89 78 89 54 C89 32 78 15 60 11 C56 9 54 4 50 4 Z",
    brain: "M50 18 C33 18 20 34 20 55 C20 75 33 89 50 89 C67 89 80 75 80 55 C80 34 67 18 50 18 Z M50 18 V89",
    box: [20, 18, 60, 71] },
  { name: "from the front", left: "R", right: "L", across: 0, down: 2, turned: true,
    head: "M50 5 C26 5 12 22 13 46 C13 58 18 66 24 74 C28 84 36 95 50 97 C64 95 72 84 76 74 C82 66 87 58 87 46 C88 22 74 5 50 5 Z",
    brain: "M50 13 C30 13 20 27 20 44 C20 58 33 66 50 66 C67 66 80 58 80 44 C80 27 70 13 50 13 Z M50 13 V66",
    box: [20, 13, 60, 53] },
  { name: "from the left", left: "A", right: "P", across: 1, down: 2, turned: true,
    head: "M48 5 C28 5 17 17 16 34 L9 52 L15 55 L14 68 C14 78 20 82 34 81 L38 97 H74 L76 78 C88 68 94 56 93 41 C92 19 74 5 48 5 Z",
    brain: "M50 13 C33 13 22 23 21 38 C20 50 30 57 44 56 L56 66 H72 C82 60 87 51 86 40 C85 23 70 13 50 13 Z",
    box: [21, 13, 65, 53] },
];

/** @param {Finding[]} findings */
export function headMap(findings) {
  const figure = element("figure", "", "head-map");
  const placed = findings.filter((finding) => finding.place);
  if (!placed.length) return figure;
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", t("Head map: {places}", { places: placed.map(place).filter(Boolean).join("; ") }));
  figure.append(...VIEWS.map((view) => drawing(view, placed)));
  return figure;
}

/** @param {View} view @param {Finding[]} findings */
function drawing(view, findings) {
  const svg = shape("svg", { viewBox: "-8 0 116 100" });
  svg.append(
    shape("path", { d: view.head, class: "head" }), shape("path", { d: view.brain, class: "brain" }),
    letter(view.left, -2), letter(view.right, 102), ...findings.flatMap((finding) => (finding.place ? [mark(view, finding.place, finding.volume_ml)] : [])));
  return svg;
}

/** @param {View} view @param {Place} at @param {number} volumeMl */
function mark(view, at, volumeMl) {
  const [left, top, width, height] = view.box;
  const down = at[view.down];
  return shape("circle", {
    cx: left + width * at[view.across],
    cy: top + height * (view.turned ? 1 - down : down),
    r: Math.min(16, 4 + 2.4 * Math.cbrt(volumeMl)),
    class: "mark",
  });
}

/** @param {string} text @param {number} x */
function letter(text, x) {
  const node = shape("text", { x, y: 54 });
  node.textContent = text;
  return node;
}

/** @param {string} name @param {Record<string, string | number>} attributes */
function shape(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}
