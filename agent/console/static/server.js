// What the page says to the server.

import { t } from "./words.js";

export function resultPath(uid, revision) { return `/api/series/${encodeURIComponent(uid)}/${revision}`; }

export function post(url, values) {
  return fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) });
}

export function whoIs() { return sessionStorage.getItem("who") ?? ""; }

export async function say(form, url, values) { // who says so is asked once; returns the answer, null if it was not stored
  const who = form.elements.who.value.trim();
  sessionStorage.setItem("who", who);
  const buttons = [...form.querySelectorAll("button")];
  const failed = form.querySelector(".failed");
  failed.textContent = "";
  for (const button of buttons) button.disabled = true;
  const answer = await post(url, { who, note: form.elements.note.value.trim(), ...values }).catch(() => null);
  for (const button of buttons) button.disabled = false;
  if (answer?.ok) return answer;
  failed.textContent = t("Not stored – try again");
  return null;
}
