// All texts of the page, a row each and a column for each language, for who reads one of them to check.

import { at, element } from "./dom.js";
import { LANGUAGES } from "./language.js";
import { translatePage } from "./words.js";

translatePage(document);
const codes = Object.keys(LANGUAGES);
/** @type {Words[]} */
const spoken = await Promise.all(codes.map((code) => fetch(`/api/words?language=${code}`).then((answer) => answer.json())));
const texts = [...new Set(spoken.flatMap(({ words }) => Object.keys(words)))].sort((one, other) => one.localeCompare(other));

at("languages").append(...Object.values(LANGUAGES).map((name) => {
  const head = element("th", name);
  head.scope = "col";
  return head;
}));
const rows = texts.map((text) => {
  const tr = document.createElement("tr");
  tr.append(...spoken.map(({ words }, n) => {
    const cell = element("td", words[text] ?? text);
    cell.lang = codes[n];
    return cell;
  }));
  return tr;
});
at("texts").append(...rows);

const part = /** @type {HTMLInputElement} */ (at("part"));
part.addEventListener("input", () => {
  const wanted = part.value.toLocaleLowerCase();
  for (const tr of rows) tr.hidden = !(tr.textContent ?? "").toLocaleLowerCase().includes(wanted);
});
