// The language that somebody chooses for this page, in place of the browser's or the site's.

import { element } from "./dom.js";
import { chosenLanguage, spokenLanguage } from "./words.js";

/** Each by its own name, so that whoever reads it finds it. */
export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français", es: "Español", zh: "中文" };

/** @param {HTMLElement} node a select */
export function chooseLanguage(node) {
  const select = /** @type {HTMLSelectElement} */ (node);
  for (const [code, name] of Object.entries(LANGUAGES)) {
    const option = element("option", name);
    option.value = code;
    option.lang = code;
    select.append(option);
  }
  select.value = chosenLanguage() || spokenLanguage();
  select.addEventListener("change", () => {
    localStorage.setItem("language", select.value);
    location.reload();
  });
}
