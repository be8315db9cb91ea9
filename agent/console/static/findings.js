// Each finding of a result, with what a radiologist reads it as; and bleeds that were missed.

import { at, button, element, first } from "./dom.js";
import { outlinedWords } from "./examination.js";
import { capital, clock, findingParts, number, plain, said, t } from "./words.js";

const KINDS = ["intraparenchymal", "intraventricular", "subarachnoid", "subdural", "epidural"];
const SIDES = ["left", "right", "midline"];
const INSTEAD = ["calcification", "artefact", "partial volume", "normal dense sinus or falx", "tumour", "contrast agent", "post-operative", "other"];

/** @typedef {(action: string, values: object) => Promise<Response | null>} Tell */
/** @typedef {import("./extent.js").Extent} Extent */
/** @typedef {{ may: boolean, viewer: Viewer | null, tell: Tell }} Reading */

/** @param {ExaminationRead} exam @param {Viewer | null} viewer @param {Tell} tell */
export function showFindings(exam, viewer, tell) {
  const report = exam.examination.series[0].report;
  const reading = { may: exam.may_not_read === null, viewer, tell };
  viewer?.stopDrawing();
  at("may-not-read").textContent = exam.may_not_read ? said(exam.may_not_read) : "";
  at("reader").hidden = exam.may_not_read !== null;
  const findings = report?.findings ?? [];
  at("findings").replaceChildren(...findings.map((finding, n) => findingItem(finding, n, exam, reading)));
  at("drawn").replaceChildren(...exam.drawings.map(drawnItem));
  const missed = exam.standing.filter(({ judgement }) => judgement.judged === "missed");
  at("missed").replaceChildren(...missed.map((one) => missedItem(one, reading)), ...(reading.may && viewer ? [missedForm(reading)] : []));
}

/** What somebody outlined by another program, beside our own findings. @param {Drawing} drawing */
function drawnItem(drawing) {
  const item = element("div", "", "drawn");
  const line = element("p", "");
  line.append(element("strong", outlinedWords(drawing)), ` – ${clock(drawing.at_utc)}`);
  const list = element("ul", "");
  list.append(...drawing.segments.map(({ label, volume_ml: one }) => element("li", `${plain(label)}: ${number(one, 1)} mL`)));
  item.append(line, list);
  return item;
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
function standingItem(made, { may, tell, viewer }) {
  const line = element("p", "", "standing");
  const { who, at_utc: utc, judgement: { note } } = made;
  line.append(element("strong", judgedWords(made)), ` – ${[plain(who), clock(utc), plain(note)].filter(Boolean).join(", ")} `);
  if (made.volume_ml !== null && viewer) line.append(button(t("Show extent"), "small", () => viewer.showDrawn(made.reading_id)), " ");
  if (may) line.append(button(t("Take back"), "small", () => stored(tell("reading-taken-back", { reading_id: made.reading_id }))));
  return line;
}

/** @param {ReadingMade} made */
function judgedWords({ judgement: { judged, subtype, side, instead }, volume_ml: ml }) {
  const drawn = ml === null ? "" : t("{volume} mL", { volume: number(ml, 1) });
  const changed = [...[subtype, side].map((one) => t(plain(one))), drawn].filter(Boolean).join(", ");
  if (judged === "correct") return t("correct");
  if (judged === "not_blood") return t("not blood: {instead}", { instead: t(plain(instead)) });
  return judged === "changed" ? t("changed: {what}", { what: changed }) : t("missed: {what}", { what: changed || t("kind not told") });
}

/** What may be answered of a finding. @param {Finding} finding @param {number} n @param {Reading} reading */
function questions(finding, n, { tell, viewer }) {
  const form = element("form", "", "answers");
  const more = element("div", "", "more");
  const kind = choice(t("Kind"), KINDS.includes(finding.subtype) ? KINDS : [finding.subtype, ...KINDS], finding.subtype);
  const side = choice(t("Side"), SIDES, finding.side);
  const instead = choice(t("What it is"), INSTEAD, null);
  const note = noteField();
  const changes = () => ({
    judged: "changed", ...(valueOf(kind) === finding.subtype ? {} : { subtype: valueOf(kind) }), ...(valueOf(side) === finding.side ? {} : { side: valueOf(side) }),
  });
  /** @param {HTMLElement[]} fields @param {() => object} judged @param {Extent | null} extent */
  const ask = (fields, judged, extent = null) => {
    if (!extent) viewer?.stopDrawing();
    const store = () => tellDrawn(tell, { finding: n, note: valueOf(note), ...judged() }, extent);
    more.replaceChildren(...(extent ? [drawHint()] : []), ...fields, note, button(t("Store"), "store", store));
    if (!extent) first(more, "select").focus();
  };
  const draw = async () => {
    const extent = await viewer?.draw(n);
    if (extent) ask([kind, side], changes, extent);
    else more.replaceChildren(noDrawing());
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(
    button(t("Correct"), "correct", () => stored(tell("reading", { judged: "correct", finding: n }))),
    button(t("Other kind or side …"), "quiet", () => ask([kind, side], changes)),
    ...(viewer ? [button(t("Extent …"), "quiet", draw)] : []),
    button(t("Not blood …"), "quiet", () => ask([instead], () => ({ judged: "not_blood", instead: valueOf(instead) }))), more);
  return [form];
}

/** A bleed that was missed: a click in the slice says where, or a brush how far it reaches. @param {Reading} reading */
function missedForm({ viewer, tell }) {
  const form = element("form", "", "answers");
  const more = element("div", "", "more");
  form.addEventListener("submit", (event) => event.preventDefault());
  const kind = choice(t("Kind"), ["", ...KINDS], "");
  const side = choice(t("Side"), ["", ...SIDES], "");
  const note = noteField();
  const told = () => Object.fromEntries(Object.entries({ subtype: valueOf(kind), side: valueOf(side), note: valueOf(note) }).filter(([, value]) => value));
  /** @param {HTMLElement} says @param {[number, number, number] | null} voxel that was clicked @param {Extent | null} extent */
  const ask = (says, voxel, extent) => {
    const store = button(t("Store"), "store", () => tellDrawn(tell, { judged: "missed", voxel_kji: voxel ?? extent?.voxel, ...told() }, extent));
    more.replaceChildren(says, kind, side, note, store);
    return store;
  };
  const mark = button(t("Missed bleed …"), "quiet", () => {
    viewer?.stopDrawing();
    more.replaceChildren(element("p", t("Click on it in its slice."), "says"));
    viewer?.pick((voxel) => ask(element("p", t("slice {k}", { k: voxel[0] + 1 })), voxel, null).focus());
  });
  const draw = button(t("Draw a missed bleed …"), "quiet", async () => {
    const extent = await viewer?.draw(null);
    if (extent) ask(drawHint(), null, extent);
    else more.replaceChildren(noDrawing());
  });
  form.append(mark, draw, more);
  return form;
}

function drawHint() { return element("p", t("Draw on the slices: brush and eraser are beneath them."), "says"); }

function noDrawing() { return element("p", t("No extent can be drawn on the slices of this result."), "says"); }

/** @param {Tell} tell @param {object} values @param {Extent | null} extent */
function tellDrawn(tell, values, extent) {
  if (extent && !extent.voxel) first(at("reading"), ".failed").textContent = t("Nothing is drawn.");
  else stored(tell("reading", { ...values, ...(extent ? { extent: extent.drawn } : {}) }));
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
