// What people say of a result, and whether it was stored.

import { field, first } from "./dom.js";
import { nameIn, post } from "./session.js";
import { t } from "./words.js";

/** @param {string} uid @param {number} revision */
export function resultPath(uid, revision) { return `/api/series/${encodeURIComponent(uid)}/${revision}`; }

/** Returns the answer, null if it was not stored. @param {HTMLFormElement} form @param {string} url @param {object} values */
export async function say(form, url, values) {
  const buttons = [...form.querySelectorAll("button")];
  const failed = first(form, ".failed");
  failed.textContent = "";
  for (const button of buttons) button.disabled = true;
  const said = { who: nameIn(form), note: field(form, "note").value.trim(), ...values };
  const answer = await post(url, said).catch(() => null);
  for (const button of buttons) button.disabled = false;
  if (answer?.ok) return answer;
  failed.textContent = t("Not stored – try again");
  return null;
}
