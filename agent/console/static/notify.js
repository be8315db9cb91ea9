// Notifications on the desktop, for a page that lies behind others. They show headline and initials alone: a screen may be seen by anyone.

import { isUnanalysed, leadOf, reportOf } from "./examination.js";
import { findingWords, initialsOf, t } from "./words.js";

/** @type {Map<string, Notification>} */
const told = new Map(); // by examination

/** Offers them where the browser can and nobody has decided yet. @param {HTMLElement} button */
export function notifyButton(button) {
  const show = () => { button.hidden = !("Notification" in globalThis) || Notification.permission !== "default"; };
  button.addEventListener("click", () => Notification.requestPermission().then(show));
  show();
}

/** @param {Waiting[]} waiting those that need somebody */
export function notifyOf(waiting) {
  if (!("Notification" in globalThis) || Notification.permission !== "granted") return;
  const keys = new Set(waiting.map(({ examination_uid: key }) => key));
  for (const [key, one] of told) if (!keys.has(key)) { one.close(); told.delete(key); }
  for (const examination of waiting) {
    const key = examination.examination_uid;
    if (told.has(key) || document.hasFocus()) continue; // who looks at the page is told by it
    const one = new Notification(headline(examination), { body: body(examination), tag: key, requireInteraction: true });
    one.onclick = () => globalThis.focus();
    told.set(key, one);
  }
}

/** @param {Waiting} examination */
function headline(examination) { return isUnanalysed(examination) ? t("HEAD NOT ANALYSED") : t("SUSPECTED HEMORRHAGE"); }

/** @param {Waiting} examination */
function body(examination) {
  const [finding] = reportOf(examination)?.findings ?? [];
  return [initialsOf(leadOf(examination)), finding ? findingWords(finding) : ""].filter(Boolean).join(": ");
}
