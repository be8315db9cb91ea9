// The page's words in the site's language, and how it writes numbers, times and names.
//
// Text from DICOM headers goes into the page as text only (textContent), never as markup, and
// without the marks that turn or hide the text beside them.

const PLACE = /\{(\w+)(?::\.(\d)f)?\}/g; // where a value goes in a wording, and with how many decimals
const LONGEST = 120; // characters of a name or a description that are shown
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

/** @type {Partial<Words>} */
const { language = "en", words = {}, reasons = {} } = await fetch(wordsPath()).then((answer) => answer.json()).catch(() => ({}));
document.documentElement.lang = language;

const plurals = new Intl.PluralRules(language);

/** @typedef {Record<string, string | number>} Values */

/** Where the words of the language come from that somebody has chosen, else of the site's or the browser's. */
function wordsPath() {
  const chosen = chosenLanguage();
  return chosen ? `/api/words?language=${encodeURIComponent(chosen)}` : "/api/words";
}

/** The language that somebody has chosen on this page, "" where nobody has. */
export function chosenLanguage() { return globalThis.localStorage?.getItem("language") ?? ""; }

/** The language that the page speaks. */
export function spokenLanguage() { return language; }

/** A text that counts something: one of it, or several. @param {number} n @param {string} one @param {string} many */
export function tn(n, one, many) {
  const text = plurals.select(n) === "one" ? one : many;
  return t(text, { n: number(n) });
}

/** {name} in a text is replaced by the value of that name. @param {string} text @param {Values} values */
export function t(text, values = {}) {
  return fill(words[text] ?? text, values);
}

/** What is so, in the page's language: its code has the wording, its values go into it. @param {Reason} reason @returns {string} */
export function said(reason) {
  const text = worded(reasons[reason.code]?.text, reason);
  if (text === null) return plain(reason.text);
  return typeof reason.values.file === "string" ? `${plain(reason.values.file)}: ${text}` : text;
}

/** What can be done about it, "" where that is nothing. @param {Reason} reason */
export function whatToDo(reason) {
  return worded(reasons[reason.code]?.what_to_do, reason) ?? plain(reason.what_to_do);
}

/** The wording with its values; null where there is none, or one that names what is not there. @param {string | undefined} template @param {Reason} reason */
function worded(template, { values }) {
  if (!template || [...template.matchAll(PLACE)].some(([, name]) => !(name in values))) return null;
  return template.replace(PLACE, (_, name, decimals) => told(values[name], decimals));
}

/** @param {ReasonValue} value @param {string | undefined} decimals @returns {string} */
function told(value, decimals) {
  if (Array.isArray(value)) return value.map(said).join("; ");
  if (typeof value === "object") return said(value);
  if (typeof value === "string") return plain(value);
  if (decimals !== undefined) return number(value, Number(decimals));
  return Number.isInteger(value) ? String(value) : value.toLocaleString(language, { maximumSignificantDigits: 6 });
}

/** @param {string} text @param {Values} values */
function fill(text, values) {
  return text.replace(PLACE, (whole, name) => String(values[name] ?? whole));
}

/** @param {number} value */
export function number(value, digits = 0) {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** With the decimals that it needs, two at most. @param {number} value */
export function asNeeded(value) { return value.toLocaleString(language, { maximumFractionDigits: 2 }); }

/** @param {string} iso */
export function clock(iso) {
  const moment = new Date(iso);
  const time = moment.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return isToday(iso) ? time : `${moment.toLocaleDateString(language, { day: "numeric", month: "short" })} ${time}`;
}

/** @param {Date} moment */
export function timeOfDay(moment) {
  return moment.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** @param {number} seconds */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  return s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

/** @param {{ test: boolean, patient: Patient }} series */
export function nameOf({ test, patient }) {
  const name = personName(patient.patient_name);
  return test ? t("TEST, NO PATIENT: {name}", { name }) : name;
}

/** @param {Correction} correction */
export function correctedWords({ at_utc: utc, patient_name: name, patient_id: id }) {
  const former = [name && personName(name), plain(id)].filter(Boolean).join(", ");
  return former ? t("Patient corrected at {time}: it was {former} before.", { time: clock(utc), former })
    : t("Patient corrected at {time}.", { time: clock(utc) });
}

/** From alphabetic=ideographic=phonetic, each family^given^middle^… @param {string} dicom */
function personName(dicom) {
  const [alphabetic, ideographic] = plain(dicom).split("=").slice(0, 2).filter((group) => /[^^\s]/.test(group)).map(oneName);
  if (!alphabetic) return t("Name not given");
  return cut(ideographic ? `${alphabetic} (${ideographic})` : alphabetic);
}

/** @param {string} group */
function oneName(group) {
  const [family, ...given] = group.split("^").map((part) => part.trim());
  return [family, given.filter(Boolean).join(" ")].filter(Boolean).join(", ");
}

/** The first letter of each part of a name. @param {Series} series */
export function initialsOf({ patient }) {
  const [group] = plain(patient.patient_name).split("=");
  return group.split(/[\s^]+/u).filter(Boolean).map((part) => `${[...part][0]}.`).join(" ");
}

/** @param {string} date */
export function born(date) {
  return /^\d{8}$/.test(date) ? t("born {date}", { date: `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` }) : date;
}

/** What is subdural or epidural, the networks do not tell which. */
export const EITHER = "extra-axial (subdural or epidural)";

/** "left basal ganglia", in the order of the language. @param {Finding} finding */
export function place(finding) {
  const named = finding.subtype === EITHER && finding.region === "extra-axial";
  const [side, region] = [finding.side, named ? null : finding.region].map((name) => t(plain(name)));
  return side && region ? t("{side} {region}", { side, region }) : side || region;
}

/** What and where, and how much. @param {Finding} finding */
export function findingParts(finding) {
  const [low, high] = finding.volume_interval_ml.map((ml) => number(ml, 1));
  const what = [capital(t(finding.subtype)), place(finding)].filter(Boolean).join(", ");
  return [`${what}: `, t("{volume} mL (90 %: {low}–{high})", { volume: number(finding.volume_ml, 1), low, high })];
}

const LIKELY = 0.8, VERY_LIKELY = 0.95; // ours, of the networks' probability, which is no doctor's

/** How likely it is blood at all. @param {number} probability */
export function likelihood(probability) {
  const percent = probability > 0.99 ? t("over 99") : number(100 * probability); // no network is certain
  if (probability >= VERY_LIKELY) return t("blood: very likely ({percent} %)", { percent });
  return probability >= LIKELY ? t("blood: likely ({percent} %)", { percent }) : t("blood: uncertain ({percent} %)", { percent });
}

/** @param {Finding} finding */
export function findingWords(finding) { return findingParts(finding).join(""); }

/** Without what turns or hides the text beside it. @param {string | null | undefined} text */
export function plain(text) { return cut((text ?? "").replace(UNSEEN, "\ufffd"), 1000); }
/** @param {string} text */
export function cut(text, longest = LONGEST) { return text.length > longest ? `${text.slice(0, longest)}…` : text; }
/** @param {string} word */
export function capital(word) { return word.charAt(0).toUpperCase() + word.slice(1); }
/** @param {string} iso */
export function isToday(iso) { return new Date(iso).toDateString() === new Date().toDateString(); }

/** What the HTML says in English: an element's text, or a label. @param {ParentNode} root */
export function translatePage(root) {
  for (const node of root.querySelectorAll("[data-t]")) {
    const text = node.textContent ?? "";
    node.textContent = t(text.trim());
  }
  for (const node of root.querySelectorAll("[aria-label]")) {
    const label = node.getAttribute("aria-label") ?? "";
    node.setAttribute("aria-label", t(label));
  }
}

/** How far a result or a signed report is on its way to an archive; of what failed, the archive's own words. @param {Sent} one */
export function sentWords({ channel, delivered_utc, sent_utc, dropped_utc, problem }) {
  if (delivered_utc) return t("{channel}: delivered, {time}", { channel, time: clock(delivered_utc) });
  if (dropped_utc) return t("{channel}: given up, {time}", { channel, time: clock(dropped_utc) });
  if (problem) return said(problem);
  return sent_utc ? t("{channel}: sent, {time}; not confirmed yet", { channel, time: clock(sent_utc) }) : t("{channel}: not sent yet", { channel });
}
