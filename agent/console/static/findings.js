// Each finding of a result, with what a radiologist reads it as; and bleeds that were missed.

import { at, button, element, first } from "./dom.js";
import { capital, clock, findingParts, number, plain, said, t } from "./words.js";

const KINDS = ["intraparenchymal", "intraventricular", "subarachnoid", "subdural", "epidural"];
const SIDES = ["left", "right", "midline"];
const INSTEAD = ["calcification", "artefact", "partial volume", "normal dense sinus or falx", "tumour", "contrast agent", "post-operative", "other"];

/** @typedef {(action: string, values: object) => Promise<Response | null>} Tell */
/** @typedef {{ may: boolean, viewer: Viewer | null, tell: Tell }} Reading */

/** @param {ExaminationRead} exam @param {Viewer | null} viewer @param {Tell} tell */
export function showFindings(exam, viewer, tell) {
  const report = exam.examination.series[0].report;
  const reading = { may: exam.may_not_read === null, viewer, tell };
  at("may-not-read").textContent = exam.may_not_read ? said(exam.may_not_read) : "";
  at("reader").hidden = exam.may_not_read !== null;
  const findings = report?.findings ?? [];
  at("findings").replaceChildren(...findings.map((finding, n) => findingItem(finding, n, exam, reading)));
  const missed = exam.standing.filter(({ judgement }) => judgement.judged === "missed");
  at("missed").replaceChildren(...missed.map((one) => missedItem(one, reading)), ...(reading.may && viewer ? [missedForm(reading)] : []));
}

/** @param {Finding} finding @param {number} n @param {ExaminationRead} exam @param {Reading} reading */
function findingItem(finding, n, { standing }, reading) {
  const item = element("li", "", "finding");
  const [what, volume] = findingParts(finding);
  const where = button(t("slice {k}", { k: finding.key_slice + 1 }), "small", () => reading.viewer?.goTo(finding.key_slice));
  const words = element("p", what);
  words.append(element("bdi", volume), " ", where);
  item.append(words);
  const made = standing.find(({ judgement }) => judgement.finding === n);
  if (made) item.append(standingItem(made, reading));
  else if (reading.may) item.append(...questions(finding, n, reading));
  else item.append(element("p", t("not read"), "unread"));
  return item;
}

/** @param {ReadingMade} made @param {Reading} reading */
function standingItem(made, { may, tell }) {
  const line = element("p", "", "standing");
  const { who, at_utc: utc, judgement: { note } } = made;
  line.append(element("strong", judgedWords(made.judgement)), ` – ${[plain(who), clock(utc), plain(note)].filter(Boolean).join(", ")} `);
  if (may) line.append(button(t("Take back"), "small", () => stored(tell("reading-taken-back", { reading_id: made.reading_id }))));
  return line;
}

/** @param {Judgement} judgement */
function judgedWords({ judged, subtype, side, instead }) {
  const changed = [subtype, side].map((one) => t(plain(one))).filter(Boolean).join(", ");
  if (judged === "correct") return t("correct");
  if (judged === "not_blood") return t("not blood: {instead}", { instead: t(plain(instead)) });
  return judged === "changed" ? t("changed: {what}", { what: changed }) : t("missed: {what}", { what: changed || t("kind not told") });
}

/** What may be answered of a finding. @param {Finding} finding @param {number} n @param {Reading} reading */
function questions(finding, n, { tell }) {
  const form = element("form", "", "answers");
  const more = element("div", "", "more");
  const kind = choice(t("Kind"), KINDS.includes(finding.subtype) ? KINDS : [finding.subtype, ...KINDS], finding.subtype);
  const side = choice(t("Side"), SIDES, finding.side);
  const instead = choice(t("What it is"), INSTEAD, null);
  const note = noteField();
  const store = button(t("Store"), "store", () => stored(tell("reading", { finding: n, ...judgement() })));
  let judged = "";
  /** @param {string} wanted @param {HTMLElement[]} fields */
  const ask = (wanted, fields) => { judged = wanted; more.replaceChildren(...fields, store); first(more, "select").focus(); };
  const judgement = () => {
    const values = { judged, note: valueOf(note) };
    if (judged === "not_blood") return { ...values, instead: valueOf(instead) };
    const changes = [["subtype", kind, finding.subtype], ["side", side, finding.side]];
    return { ...values, ...Object.fromEntries(changes.flatMap(([name, from, was]) => (valueOf(/** @type {HTMLElement} */ (from)) === was ? [] : [[name, valueOf(/** @type {HTMLElement} */ (from))]]))) };
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(
    button(t("Correct"), "correct", () => stored(tell("reading", { judged: "correct", finding: n }))),
    button(t("Other kind or side …"), "quiet", () => ask("changed", [kind, side, note])),
    button(t("Not blood …"), "quiet", () => ask("not_blood", [instead, note])), more);
  return [form];
}

/** A bleed that was missed: a click in the slice says where. @param {Reading} reading */
function missedForm({ viewer, tell }) {
  const form = element("form", "", "answers");
  const more = element("div", "", "more");
  form.addEventListener("submit", (event) => event.preventDefault());
  const kind = choice(t("Kind"), ["", ...KINDS], "");
  const side = choice(t("Side"), ["", ...SIDES], "");
  const note = noteField();
  const begin = button(t("Missed bleed …"), "quiet", () => {
    more.replaceChildren(element("p", t("Click on it in its slice."), "says"));
    viewer?.pick((voxel) => {
      const told = { judged: "missed", voxel_kji: voxel };
      const values = () => Object.fromEntries([["subtype", kind], ["side", side], ["note", note]].map(
        ([name, from]) => [name, valueOf(/** @type {HTMLElement} */ (from))]).filter(([, value]) => value));
      const store = button(t("Store"), "store", () => stored(tell("reading", { ...told, ...values() })));
      more.replaceChildren(element("p", t("slice {k}", { k: voxel[0] + 1 })), kind, side, note, store);
      store.focus();
    });
  });
  form.append(begin, more);
  return form;
}

/** @param {ReadingMade} made @param {Reading} reading */
function missedItem(made, reading) {
  const line = standingItem(made, reading);
  const k = made.judgement.voxel_kji?.[0] ?? 0;
  line.append(" ", button(t("slice {k}", { k: number(k + 1) }), "small", () => reading.viewer?.goTo(k)));
  return line;
}

/** @param {Promise<Response | null>} told */
async function stored(told) {
  const answer = await told;
  const refused = answer && !answer.ok ? await answer.json().catch(() => null) : null;
  first(at("reading"), ".failed").textContent = answer?.ok ? "" : refused?.code ? said(refused) : t("Not stored – try again");
}

/** @param {string} label @param {string[]} values @param {string | null} chosen */
function choice(label, values, chosen) {
  const node = element("label", `${label} `);
  const select = element("select", "");
  select.append(...values.map((value) => Object.assign(element("option", value ? capital(t(value)) : t("not told")), { value })));
  select.value = chosen ?? values[0];
  node.append(select);
  return node;
}

function noteField() {
  const node = element("label", t("Note"));
  node.append(Object.assign(element("input", ""), { maxLength: 1000, autocomplete: "off" }));
  return node;
}

/** @param {HTMLElement} label */
function valueOf(label) { return /** @type {HTMLInputElement} */ (first(label, "select, input")).value.trim(); }
