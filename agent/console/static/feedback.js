// What people say of a result, and whether it was stored.

import { nameIn, post } from "./session.js";
import { t } from "./words.js";

export function resultPath(uid, revision) { return `/api/series/${encodeURIComponent(uid)}/${revision}`; }

export async function say(form, url, values) { // returns the answer, null if it was not stored
  const buttons = [...form.querySelectorAll("button")];
  const failed = form.querySelector(".failed");
  failed.textContent = "";
  for (const button of buttons) button.disabled = true;
  const said = { who: nameIn(form), note: form.elements.note.value.trim(), ...values };
  const answer = await post(url, said).catch(() => null);
  for (const button of buttons) button.disabled = false;
  if (answer?.ok) return answer;
  failed.textContent = t("Not stored – try again");
  return null;
}
