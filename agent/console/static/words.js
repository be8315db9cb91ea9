// The page's words in the site's language, and how it writes numbers, times and names.
//
// Text from DICOM headers goes into the page as text only (textContent), never as markup, and
// without the marks that turn or hide the text beside them.

const LONGEST = 120; // characters of a name or a description that are shown
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu;

const { language = "en", words = {} } = await fetch("/api/words").then((answer) => answer.json()).catch(() => ({}));
const sentences = Object.keys(words).filter((text) => text.includes("{1}")).map((text) => [asPattern(text), words[text]]);
document.documentElement.lang = language;

export function t(text, values = {}) { // {name} in a text is replaced by the value of that name
  return fill(words[text] ?? text, values);
}

export function sentence(text) { // what the agent said: by its whole, or by the pattern that it follows
  const said = plain(text);
  if (words[said]) return words[said];
  for (const [pattern, translation] of sentences) {
    const found = pattern.exec(said);
    if (found) return fill(translation, Object.fromEntries(found.map((part, n) => [n, n ? sentence(part) : ""])));
  }
  const parts = said.split("; ");
  return parts.length > 1 ? parts.map(sentence).join("; ") : said;
}

function asPattern(text) {
  const literal = text.split(/\{\d\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${literal.join("(.+?)")}$`, "u");
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function number(value, digits = 0) {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function clock(iso) {
  const moment = new Date(iso);
  const time = moment.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return isToday(iso) ? time : `${moment.toLocaleDateString(language, { day: "numeric", month: "short" })} ${time}`;
}

export function timeOfDay(moment) {
  return moment.toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  return s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

export function nameOf({ test, patient }) {
  const name = personName(patient.patient_name);
  return test ? t("TEST, NO PATIENT: {name}", { name }) : name;
}

function personName(dicom) { // alphabetic=ideographic=phonetic, each family^given^middle^…
  const [first, second] = plain(dicom).split("=").slice(0, 2).filter((group) => /[^^\s]/.test(group)).map(oneName);
  if (!first) return t("Name not given");
  return cut(second ? `${first} (${second})` : first);
}

function oneName(group) {
  const [family, ...given] = group.split("^").map((part) => part.trim());
  return [family, given.filter(Boolean).join(" ")].filter(Boolean).join(", ");
}

export function born(date) {
  return /^\d{8}$/.test(date) ? t("born {date}", { date: `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}` }) : date;
}

export function place(finding) { // "left basal ganglia", in the order of the language
  const [side, region] = [finding.side, finding.region].map((name) => t(plain(name)));
  return side && region ? t("{side} {region}", { side, region }) : side || region;
}

export function findingParts(finding) { // what and where, and how much
  const [low, high] = finding.volume_interval_ml.map((ml) => number(ml));
  const what = [capital(t(finding.subtype)), place(finding)].filter(Boolean).join(", ");
  return [`${what}: `, `${number(finding.volume_ml, 1)} mL (${low}–${high})`];
}

export function findingWords(finding) { return findingParts(finding).join(""); }

export function plain(text) { return cut((text ?? "").replace(UNSEEN, "\ufffd"), 1000); }
export function cut(text, longest = LONGEST) { return text.length > longest ? `${text.slice(0, longest)}…` : text; }
export function capital(word) { return word.charAt(0).toUpperCase() + word.slice(1); }
export function isToday(iso) { return new Date(iso).toDateString() === new Date().toDateString(); }

export function element(name, text, className = "") {
  const node = document.createElement(name);
  node.textContent = text;
  node.className = className;
  return node;
}

export function translatePage(root) { // what the HTML says in English: an element's text, or a label
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.textContent.trim());
  for (const node of root.querySelectorAll("[aria-label]")) node.setAttribute("aria-label", t(node.getAttribute("aria-label")));
}
