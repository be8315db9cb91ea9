// The report on an examination: drafted, edited section by section, signed; and every version that was.

import { at, button, element, first } from "./dom.js";
import { clock, plain, said, sentWords, t } from "./words.js";

/** @typedef {{ title: HTMLElement, text: HTMLTextAreaElement, drafted: string }} Editor */
/** @type {Map<string, Editor>} */
const editors = new Map();
const BORDER_PX = 2;

window.addEventListener("resize", () => { for (const { text } of editors.values()) grow(text); });

/** @param {ExaminationRead} exam @param {import("./findings.js").Tell} tell */
export function showReport({ draft, signed, may_not_sign: refusal }, tell) {
  at("report").hidden = draft === null;
  if (!draft) return;
  at("may-not-sign").textContent = refusal ? said(refusal) : "";
  for (const one of draft.sections) edit(one, draft.language);
  if (!at("draft").querySelector(".sign")) at("draft").append(button(t("Sign"), "sign", () => sign(tell)));
  /** @type {HTMLButtonElement} */ (first(at("draft"), ".sign")).disabled = refusal !== null;
  showSigned(signed);
}

/** Every signed version, and how far it is on its way; left as it is while nothing of that changes. @param {SignedReport[]} signed */
function showSigned(signed) {
  const items = [...signed].reverse().map(versionItem);
  const told = items.map((one) => one.textContent).join("");
  if (at("signed").textContent !== told) at("signed").replaceChildren(...items);
}

/** Takes a section of the draft over, unless somebody has edited it. @param {DraftSection} section @param {string} language */
function edit({ section, title, sentences }, language) {
  const drafted = sentences.map(({ text }) => text).join("\n");
  const editor = editors.get(section) ?? newEditor(section);
  const isEdited = editor.text.value !== editor.drafted;
  editor.title.textContent = title;
  editor.text.lang = language;
  editor.drafted = drafted;
  if (!isEdited) editor.text.value = drafted;
  grow(editor.text);
}

/** @param {string} section */
function newEditor(section) {
  const label = element("label", "", `for-${section}`);
  const editor = { title: element("span", ""), text: Object.assign(element("textarea", ""), { rows: 1 }), drafted: "" };
  label.append(editor.title, editor.text);
  editor.text.addEventListener("input", () => grow(editor.text));
  editors.set(section, editor);
  at("draft").append(label);
  return editor;
}

/** As high as its text. @param {HTMLTextAreaElement} text */
function grow(text) {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + BORDER_PX}px`;
}

/** @param {import("./findings.js").Tell} tell */
async function sign(tell) {
  const sections = Object.fromEntries([...editors].map(([section, { text }]) => [section, text.value]));
  const failed = first(at("report"), ".failed");
  const answer = await tell("report", { language: /** @type {HTMLSelectElement} */ (at("language")).value, sections });
  const refused = answer && !answer.ok ? await answer.json().catch(() => null) : null;
  failed.textContent = answer?.ok ? "" : refused?.code ? said(refused) : t("Not stored – try again");
}

/** @param {SignedReport} report @param {number} n the latest is 0 */
function versionItem({ version, who, at_utc: utc, sections, language, sent }, n) {
  const item = element("details", "", "version");
  item.open = n === 0;
  const text = element("div", "");
  text.lang = language;
  for (const { title, sentences } of sections) {
    text.append(element("h3", title), ...sentences.map((one) => element("p", plain(one.text))));
  }
  item.append(element("summary", t("Version {n}, signed by {who}, {time}", { n: version, who: plain(who), time: clock(utc) })),
    ...sent.map((one) => element("p", sentWords(one), "sent")), text);
  return item;
}
