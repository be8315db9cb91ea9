// What of the list is looked at: the latest, more of them, or what somebody searches for.

import { at, field, first } from "./dom.js";
import { post } from "./session.js";
import { t, tn } from "./words.js";

const A_PAGE = 50;
const AFTER_TYPING_MS = 250;
const AT_MOST_EVERY_MS = 1000;

const form = /** @type {HTMLFormElement} */ (at("look"));
const more = at("more");
let limit = A_PAGE;
/** @type {Listed | null} */
let found = null; // what was last found; null while the latest are shown
let asked = 0; // which question is the latest
let askedAt = -AT_MOST_EVERY_MS;
let onFound = () => {};

/** `show` is called when what is looked for has come. @param {() => void} show */
export function lookWith(show) {
  let typing = 0;
  onFound = show;
  const again = () => { limit = A_PAGE; ask(); };
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(again, AFTER_TYPING_MS);
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); again(); });
  first(more, "button").addEventListener("click", () => { limit += A_PAGE; ask(); });
  if (isLookedFor()) ask(); // typed before the page was ready, or kept by the browser
}

function isLookedFor() {
  return field(form, "words").value.trim() !== "" || field(form, "show").value !== "any" || limit !== A_PAGE;
}

/** What the list shows. @param {Listed} latest of the snapshot that came last @returns {Listed} */
export function listed(latest) {
  const shown = found ?? latest;
  const isMore = shown.n_more > 0;
  more.hidden = !isMore;
  first(more, "span").textContent = isMore ? beyond(shown.n_more) : "";
  at("none-found").hidden = found === null || found.examinations.length > 0;
  return shown;
}

/** A new snapshot: what is looked for may have changed too. */
export function lookAgain() {
  if (isLookedFor() && performance.now() - askedAt >= AT_MOST_EVERY_MS) ask();
}

/** @param {number} n */
function beyond(n) {
  return field(form, "show").value === "any" ? tn(n, "{n} more study", "{n} more studies") : t("up to {n} more studies", { n });
}

async function ask() {
  const [words, show] = [field(form, "words").value.trim(), field(form, "show").value];
  asked += 1;
  askedAt = performance.now();
  if (!isLookedFor()) {
    found = null;
    onFound();
    return;
  }
  const own = asked;
  const answer = await post("/api/examinations", { words, show, limit: Math.min(limit, 1000) }).catch(() => null);
  if (!answer?.ok || own !== asked) return; // the connection is lost, which is told, or another question was asked
  found = await answer.json();
  onFound();
}
